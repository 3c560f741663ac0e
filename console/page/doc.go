// Package page is the console's page: HTML for people, in English and German,
// served from the program. It needs no script to be read or used; a small one
// makes it nicer. What somebody may see and do is decided by console/access and
// console/office; here it is only shown.
package page

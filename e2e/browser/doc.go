// Package browser tests the console's page in a real browser: Debian's Chromium,
// driven by its own protocol. It is a module of its own, so that what drives a
// browser isn't among the product's modules.
package browser

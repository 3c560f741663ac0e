// Package console serves people and their programs over HTTP: the API and the
// page. It sees the store and the live calls through console/office; who may
// do what stands in console/access.
package console

//go:build race

package store_test

// raceDetector says that the race detector watches: what only reckons is ten times slower.
const raceDetector = true

//go:build linux && cgo

package main

// withhold withholds nothing: the C library has thread-local storage somewhere
// in what would go.
func (p *program) withhold() {}

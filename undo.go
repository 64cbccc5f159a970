//go:build linux

package main

// undo is what takes back the steps of a run, the last one first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

// all takes back everything, and can be called again.
func (u *undo) all() {
	for len(*u) > 0 {
		last := len(*u) - 1
		f := (*u)[last]
		*u = (*u)[:last]
		f()
	}
}

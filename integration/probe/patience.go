//go:build linux

package main

import (
	"context"
	"time"
)

// patience is over after so many naps as make up a time. It is for those who
// take silence for an answer: where the probe, or its whole machine, does not
// get to run, nobody else does, and a nap takes longer then. A clock would go on.
type patience struct {
	context.Context
	over chan struct{}
}

// nap is how long one takes on a machine with little to do, and a bit.
const nap = 10 * time.Millisecond

// newPatience is that for a time, or less when stop is called.
func newPatience(d time.Duration) (p patience, stop func()) {
	ctx, stop := context.WithCancel(context.Background())
	p = patience{ctx, make(chan struct{})}
	go func() {
		defer close(p.over)
		for ; d > 0 && ctx.Err() == nil; d -= nap {
			time.Sleep(nap)
		}
	}()
	return p, stop
}

// Done is context.Context's.
func (p patience) Done() <-chan struct{} { return p.over }

// Err is context.Context's: what package net makes "i/o timeout" of.
func (p patience) Err() error {
	select {
	case <-p.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

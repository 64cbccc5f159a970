//go:build linux

package main

import (
	"cmp"
	"sort"
)

// grain is how finely memory is measured out, in MB.
const grain = 4

// least is less than any kernel here is content with.
const least = 28

// smallest looks for the smallest memory in which the kernel comes as far as
// /init, and for that in which the cases that make a whole container pass.
func (b *bench) smallest(what boot) outcome {
	try := func(memory int, cases string) outcome {
		what.memory, what.words = memory, []string{"vm.cases=" + cases}
		return b.one(what)
	}
	const whole = "run,nat,publish"
	most := what.memory
	if what.target.fixed {
		return try(most, whole)
	}
	step := cmp.Or(what.target.step, grain)
	alone := bisect(least, most, step, func(memory int) bool { return try(memory, "none").ok() })
	var last outcome
	size := bisect(alone-step, most, step, func(memory int) bool {
		o := try(memory, whole)
		if o.ok() {
			last = o
		}
		return o.ok()
	})
	if !last.ok() || last.memory != size {
		last = try(size, whole)
	}
	if last.ok() {
		last.smallestBoot, last.smallest = alone, size
	}
	return last
}

// bisect is the smallest size, of the multiples of a step, for which something
// holds; it does for the greater, and not for the less. The least that may be is
// tried first.
func bisect(less, greater, step int, holds func(int) bool) int {
	sizes := []int{}
	for n := less - less%step + step; n <= greater; n += step {
		sizes = append(sizes, n)
	}
	if len(sizes) == 0 {
		return greater
	}
	if holds(sizes[0]) {
		return sizes[0]
	}
	i := sort.Search(len(sizes)-1, func(i int) bool { return holds(sizes[i]) })
	return sizes[i]
}

//go:build linux

package main

import "sort"

// grain is how finely memory is measured out, in MB.
const grain = 4

// smallest looks for the smallest memory in which the kernel comes as far as
// /init, and for that in which the cases that make a whole container pass. No
// two boots of one machine can be made at a time.
func (b *bench) smallest(what boot) outcome {
	try := func(memory int, cases string) outcome {
		what.memory, what.words = memory, []string{"vm.cases=" + cases}
		return b.one(what)
	}
	const whole = "run,nat,publish"
	most := what.memory
	last := try(most, whole)
	if !last.ok() || what.target.fixed {
		return last
	}
	last.smallestBoot = bisect(grain, most, func(memory int) bool { return try(memory, "none").ok() })
	last.smallest = bisect(last.smallestBoot-grain, most, func(memory int) bool {
		o := try(memory, whole)
		if o.ok() {
			last.peak = o.peak
		}
		return o.ok()
	})
	last.memory = last.smallest
	return last
}

// bisect is the smallest size for which something holds; it does for the
// greater, and not for the less. The least that may be is tried first.
func bisect(less, greater int, holds func(int) bool) int {
	sizes := []int{}
	for n := less + grain; n <= greater; n += grain {
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

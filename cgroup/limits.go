//go:build linux

package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits is what a container may have.
type Limits struct {
	Memory int64   // bytes, in RAM alone: none of it is swapped out; 0 is no limit
	CPUs   float64 // time of that many CPUs; 0 is no limit
	PIDs   int64   // processes and threads, the container's first included; 0 is no limit, and so is -1, as for docker run
}

// Any says whether there is a limit at all.
func (l Limits) Any() bool { return l.Memory != 0 || l.CPUs != 0 || l.PIDs > 0 }

const (
	// period is what CPU time is counted over, in microseconds: the kernel's
	// default. The least of a quota is a hundredth of it.
	period  = 100_000
	minCPUs = 0.01
	maxCPUs = 1 << 16 // more than any kernel is built for

	// minMemory is what a process takes that does nothing yet, and some: its
	// tables and stacks count, and with less not even clone succeeds.
	minMemory = 512 << 10

	// maxPIDs is the kernel's PID_MAX_LIMIT, on 64 bits. It refuses a larger
	// number for pids.max, which would be no limit anyway.
	maxPIDs = 1 << 22
)

// check refuses what the kernel would refuse, or what can't be meant.
func (l Limits) check() error {
	switch {
	case l.Memory < 0 || l.Memory > 0 && l.Memory < minMemory:
		return fmt.Errorf("-memory %d: less than %dk, with which no process can start", l.Memory, minMemory>>10)
	case l.PIDs < -1:
		return fmt.Errorf("-pids-limit %d: less than none", l.PIDs)
	}
	return checkCPUs(l.CPUs)
}

func checkCPUs(n float64) error {
	if n == 0 || n >= minCPUs && n <= maxCPUs {
		return nil // and so NaN is not
	}
	return fmt.Errorf("-cpus %v: not between %v and %d", n, minCPUs, maxCPUs)
}

// setting is a value for a file of a group.
type setting struct {
	file, value string

	// lacking is what the kernel was built without when the file is not there.
	// If it is empty, the limit is good without it.
	lacking string
}

// settings is what makes a controller keep the limits: nothing, if there is
// none of its kind.
func (l Limits) settings(c controller, v2 bool) []setting {
	switch {
	case c == memory && l.Memory > 0:
		bytes := strconv.FormatInt(l.Memory, 10)
		if v2 {
			return []setting{
				{"memory.max", bytes, c.config},
				{"memory.swap.max", "0", ""},
			}
		}
		return []setting{
			{"memory.limit_in_bytes", bytes, "CONFIG_MEMCG_V1"},
			// Of memory and swap together; never less than the former, so it is
			// second.
			{"memory.memsw.limit_in_bytes", bytes, ""},
		}
	case c == cpu && l.CPUs > 0:
		quota := strconv.FormatInt(int64(math.Round(l.CPUs*period)), 10)
		if v2 {
			return []setting{{"cpu.max", quota + " " + strconv.Itoa(period), "CONFIG_CFS_BANDWIDTH"}}
		}
		return []setting{
			{"cpu.cfs_period_us", strconv.Itoa(period), "CONFIG_CFS_BANDWIDTH"},
			{"cpu.cfs_quota_us", quota, "CONFIG_CFS_BANDWIDTH"},
		}
	case c == pids && l.PIDs > 0:
		n := strconv.FormatInt(l.PIDs, 10)
		if l.PIDs > maxPIDs {
			n = "max"
		}
		return []setting{{"pids.max", n, c.config}}
	}
	return nil
}

// ParseSize reads a number of bytes as docker run does: 64m, 1.5g, 512k, 100b
// or 1048576, in units of 1024, upper case or lower, a "b" or "ib" behind the
// unit or none.
func ParseSize(s string) (int64, error) {
	malformed := fmt.Errorf("size %q: want a number of bytes, or of k, m, g or t, such as 64m", s)
	end := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(s)
	}
	number, unit := s[:end], strings.ToLower(strings.TrimPrefix(s[end:], " "))
	shift := 0
	if unit != "" && unit != "b" {
		shift = 10 * (1 + strings.IndexByte("kmgtp", unit[0]))
		if rest := unit[1:]; shift == 0 || rest != "" && rest != "b" && rest != "ib" {
			return 0, malformed
		}
	}
	whole, fraction, err := parseDecimal(number)
	if err != nil {
		return 0, malformed
	}
	// What a float can't hold exactly is in the whole part alone. The fraction
	// is 1 at most, and that times the unit is exact.
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("size %q: too large", s)
	}
	sum := n<<shift + uint64(fraction*float64(uint64(1)<<shift))
	if sum > math.MaxInt64 {
		return 0, fmt.Errorf("size %q: too large", s)
	}
	return int64(sum), nil
}

// ParseCPUs reads a number of CPUs as docker run does: 2, or 0.5, or .5.
func ParseCPUs(s string) (float64, error) {
	if _, _, err := parseDecimal(s); err != nil {
		return 0, fmt.Errorf("cpus %q: want a number of CPUs, such as 1.5", s)
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || checkCPUs(n) != nil {
		return 0, fmt.Errorf("cpus %q: not between %v and %d", s, minCPUs, maxCPUs)
	}
	return n, nil
}

// parseDecimal takes digits, with a point somewhere or none, and nothing else:
// strconv would take "inf", "0x1p4" and "1e9" too.
func parseDecimal(s string) (whole string, fraction float64, err error) {
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	whole, part, _ := strings.Cut(s, ".")
	if whole+part == "" || !digits(whole) || !digits(part) {
		return "", 0, strconv.ErrSyntax
	}
	if whole == "" {
		whole = "0"
	}
	fraction, err = strconv.ParseFloat("0."+part+"0", 64)
	return whole, fraction, err
}

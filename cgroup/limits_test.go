//go:build linux

package cgroup

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0":                                  0,
		"100":                                100,
		"100b":                               100,
		"100B":                               100,
		"512k":                               512 << 10,
		"512K":                               512 << 10,
		"64m":                                64 << 20,
		"64mb":                               64 << 20,
		"64MiB":                              64 << 20,
		"64 m":                               64 << 20,
		"1g":                                 1 << 30,
		"1.5g":                               3 << 29,
		".5g":                                1 << 29,
		"1.g":                                1 << 30,
		"0.1k":                               102,
		"2t":                                 2 << 40,
		"1p":                                 1 << 50,
		"0.5b":                               0,
		"007":                                7,
		"9223372036854775807":                math.MaxInt64,
		"9007199254740993":                   1<<53 + 1, // no float between
		"8191p":                              8191 << 50,
		"1.99999999999999999999999999999999": 2,
	} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	const malformed = `size %q: want a number of bytes, or of k, m, g or t, such as 64m`
	const large = `size %q: too large`
	for in, want := range map[string]string{
		"":                            malformed,
		"m":                           malformed,
		"b":                           malformed,
		".":                           malformed,
		".m":                          malformed,
		"-1":                          malformed,
		"-64m":                        malformed,
		"+64m":                        malformed,
		" 64m":                        malformed,
		"64m ":                        malformed,
		"64  m":                       malformed,
		"64x":                         malformed,
		"64bb":                        malformed,
		"64ib":                        malformed,
		"64mi":                        malformed,
		"64mbb":                       malformed,
		"1.2.3":                       malformed,
		"1e3":                         malformed,
		"0x10":                        malformed,
		"1_000":                       malformed,
		"1,5g":                        malformed,
		"inf":                         malformed,
		"nan":                         malformed,
		"64\nm":                       malformed,
		"６４m":                         malformed,
		"64µ":                         malformed,
		"9223372036854775808":         large,
		"18446744073709551616":        large,
		"8192p":                       large,
		"8191.999999999999999999999p": large,
		"99999999999999999999999999g": large,
	} {
		got, err := ParseSize(in)
		if err == nil {
			t.Errorf("ParseSize(%q) = %d", in, got)
		} else if want := fmt.Sprintf(want, in); err.Error() != want {
			t.Errorf("ParseSize(%q): %v; want %s", in, err, want)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for in, want := range map[string]float64{"0": 0, "1": 1, "2.0": 2, "0.5": 0.5, ".5": 0.5, "1.": 1, "0.01": 0.01, "64": 64} {
		got, err := ParseCPUs(in)
		if err != nil || got != want {
			t.Errorf("ParseCPUs(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	const malformed = `cpus %q: want a number of CPUs, such as 1.5`
	const outside = `cpus %q: not between 0.01 and 65536`
	for in, want := range map[string]string{
		"": malformed, ".": malformed, "-1": malformed, "+1": malformed, "1e1": malformed, "inf": malformed, "NaN": malformed,
		"0x1p4": malformed, "1_0": malformed, "1 ": malformed, "two": malformed, "50%": malformed,
		"0.001": outside, "65537": outside, strings.Repeat("9", 400): outside,
	} {
		got, err := ParseCPUs(in)
		if err == nil {
			t.Errorf("ParseCPUs(%q) = %v", in, got)
		} else if want := fmt.Sprintf(want, in); err.Error() != want {
			t.Errorf("ParseCPUs(%q): %v; want %s", in, err, want)
		}
	}
}

func TestLimitsCheck(t *testing.T) {
	for _, l := range []Limits{
		{}, {PIDs: -1}, {PIDs: 1}, {PIDs: math.MaxInt64}, {Memory: minMemory}, {Memory: math.MaxInt64}, {CPUs: minCPUs}, {CPUs: maxCPUs},
	} {
		if err := l.check(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for l, want := range map[Limits]string{
		{Memory: -1}:           "-memory -1: less than 512k, with which no process can start",
		{Memory: 100}:          "-memory 100: less than 512k, with which no process can start",
		{PIDs: -2}:             "-pids-limit -2: less than none",
		{CPUs: -1}:             "-cpus -1: not between 0.01 and 65536",
		{CPUs: 0.001}:          "-cpus 0.001: not between 0.01 and 65536",
		{CPUs: math.Inf(1)}:    "-cpus +Inf: not between 0.01 and 65536",
		{CPUs: math.NaN()}:     "-cpus NaN: not between 0.01 and 65536",
		{CPUs: math.MaxUint32}: "-cpus 4.294967295e+09: not between 0.01 and 65536",
	} {
		if err := l.check(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", l, err, want)
		}
	}
}

func TestAny(t *testing.T) {
	for l, want := range map[Limits]bool{{}: false, {PIDs: -1}: false, {PIDs: 1}: true, {CPUs: 0.5}: true, {Memory: 1}: true} {
		if got := l.Any(); got != want {
			t.Errorf("%+v: %v", l, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"0", "64m", "1.5g", ".5k", "100b", "9223372036854775807", "8191.99p", "64MiB", "-1", "1e3", "", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil && (n != 0 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("ParseSize(%q) = %d, %q", s, n, err)
		}
		if n < 0 {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
		// A number is what itself in decimal is.
		if err == nil {
			if again, err := ParseSize(fmt.Sprint(n)); err != nil || again != n {
				t.Errorf("ParseSize(%q) = %d, and of that %d, %v", s, n, again, err)
			}
		}
	})
}

func FuzzParseCPUs(f *testing.F) {
	for _, seed := range []string{"0", "1", "1.5", ".5", "0.01", "0.009", "65536", "inf", "-1", "1e9", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseCPUs(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("ParseCPUs(%q): %q", s, err)
			}
			return
		}
		for _, v2 := range []bool{false, true} {
			for _, set := range (Limits{CPUs: n}).settings(cpu, v2) {
				if strings.HasPrefix(set.value, "-") || set.value == "0" || set.value == "999" {
					t.Errorf("ParseCPUs(%q) = %v gives %s %s", s, n, set.file, set.value)
				}
			}
		}
	})
}

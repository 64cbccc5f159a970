//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
)

// The table of docs/hosts.md stands between these two lines.
const (
	tableBegins = "<!-- what follows was written by make vm-all -->"
	tableEnds   = "<!-- so far -->"
	tableHead   = "| GOARCH | kernel | machine of qemu | boot s | all s | cases passed | binary MB | memory in use MB | smallest memory MB |\n" +
		"| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
)

// row is a line of the table, by cells.
type row []string

// rowOf is what a boot has shown, nil for nothing. A cell of something that was
// not looked at is empty.
func rowOf(o outcome) row {
	if o.log == "" {
		return nil // the kernel could not be had, or the programs not be built
	}
	if o.ofMemory {
		switch {
		case !o.ok():
			return nil
		case o.target.fixed:
			return row{o.target.name, o.release, machine(o.target.args), "", "", "", "", "", fmt.Sprintf("%d, which it has", o.memory)}
		}
		return row{o.target.name, o.release, machine(o.target.args), "", "", "", "", "", fmt.Sprintf("%d (%d)", o.smallest, o.smallestBoot)}
	}
	r := row{
		o.target.name, o.release, machine(o.target.args),
		fmt.Sprintf("%.1f", o.up.Seconds()), fmt.Sprintf("%.1f", o.all.Seconds()),
		fmt.Sprintf("%d of %d", o.passed, o.total),
		fmt.Sprintf("%.2f", float64(o.size)/1e6), o.peak, "",
	}
	if o.passed < o.total {
		r[5] += ", not " + strings.Join(o.failed, ", ")
	}
	if o.total == 0 {
		return row{o.target.name, o.release, r[2], "", "", "it did not boot", "", "", ""}
	}
	return r
}

// machine is what qemu's arguments say of the machine.
func machine(args []string) string {
	var words []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			words = append(words, a)
		}
	}
	return strings.Join(words, ", ")
}

// merge puts new rows in the place of the old ones of the same GOARCH and
// kernel, in the order of targets. A cell that is empty in the new one stays
// as it was; rows of which there is no new one stay too.
func merge(old []row, outcomes []outcome) []row {
	var rows []row
	for _, t := range targets {
		for _, k := range t.kernels {
			var r row
			for _, was := range old {
				if was[0] == t.name && strings.HasPrefix(was[1], k+".") {
					r = was
				}
			}
			for _, o := range outcomes {
				if o.target.name != t.name || o.kernel != k {
					continue
				}
				is := rowOf(o)
				if is == nil {
					continue
				}
				for i, cell := range is {
					if cell == "" && r != nil {
						is[i] = r[i]
					}
				}
				r = is
			}
			if r != nil {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// writeTable puts what the boots have shown into a page.
func writeTable(name string, outcomes []outcome) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text, err := page(string(b), outcomes)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// page is the page with what the boots have shown in its table.
func page(text string, outcomes []outcome) (string, error) {
	before, rest, ok := strings.Cut(text, tableBegins+"\n")
	table, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q are not in it", tableBegins, tableEnds)
	}
	var old []row
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) == strings.Count(tableHead[:strings.Index(tableHead, "\n")], "|")-1 {
			old = append(old, cells)
		}
	}
	out := before + tableBegins + "\n" + tableHead
	for _, r := range merge(old, outcomes) {
		out += "| " + strings.Join(r, " | ") + " |\n"
	}
	return out + tableEnds + after, nil
}

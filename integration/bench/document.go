//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// report holds what was measured, part by part.
type report []section

type section struct{ name, text string }

func (r *report) add(name, text string) { *r = append(*r, section{name, text}) }

const endOfSection = "<!-- end -->\n"

// write puts each part between its marks in a document. The words around them
// stay.
func (r report) write(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := string(b)
	for _, s := range r {
		mark := "<!-- bench: " + s.name + " -->\n"
		head, rest, ok := strings.Cut(text, mark)
		if !ok {
			return fmt.Errorf("%s: there is no line %q", name, mark)
		}
		_, tail, ok := strings.Cut(rest, endOfSection)
		if !ok {
			return fmt.Errorf("%s: no line %q follows %q", name, endOfSection, mark)
		}
		text = head + mark + "\n" + strings.TrimSpace(s.text) + "\n\n" + endOfSection + tail
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// drawChart writes the wall times of all that do (c), a network and a published
// port, as bars.
func drawChart(name string, all []*contender) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	chart(f, all)
	return f.Close()
}

func chart(w io.Writer, all []*contender) {
	var bars []*contender
	for _, c := range all {
		if c.mode == "c" && len(c.samples) > 0 && !c.atOnce && !c.variant {
			bars = append(bars, c)
		}
	}
	const left, right, row = 290, 90, 26
	const width = 760
	longest := 0.0
	for _, c := range bars {
		longest = max(longest, quantile(c, 0.5, wall).Seconds())
	}
	height := row*len(bars) + 44
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(w, `<text x="8" y="20" fill="#222">start to exit of a program that does nothing, on a bridge, with NAT and a published port (ms)</text>`+"\n")
	for i, c := range bars {
		y := 34 + i*row
		d := quantile(c, 0.5, wall).Seconds()
		length := max(2, d/longest*(width-left-right))
		colour := "#9aa5b1"
		if c.name == "main" {
			colour = "#2f7ed8"
		}
		fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end" fill="#222">%s</text>`, left-8, y+14, escape(c.name))
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, y+2, length, row-8, colour)
		fmt.Fprintf(w, `<text x="%.1f" y="%d" fill="#222">%s</text>`+"\n", float64(left)+length+6, y+14, short(d*1000))
	}
	fmt.Fprintln(w, "</svg>")
}

func short(ms float64) string {
	if ms < 100 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// chartBeside is where the chart of a document lies.
func chartBeside(document string) string {
	return strings.TrimSuffix(document, filepath.Ext(document)) + ".svg"
}

//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// field is a member of a JSON object: its name and its value, which is JSON
// already. (encoding/json and what it brings would be a twentieth part of the
// binary.)
type field struct{ name, value string }

// object is what has fields.
type object interface{ fields() []field }

// writeObjects writes a list of objects, a field a line.
func writeObjects[T object](w io.Writer, objects []T) error {
	all := make([]string, len(objects))
	for i, o := range objects {
		var lines []string
		for _, f := range o.fields() {
			lines = append(lines, jsonString(f.name)+": "+f.value)
		}
		all[i] = jsonLines("{", lines, "}", "  ")
	}
	_, err := io.WriteString(w, jsonLines("[", all, "]", "")+"\n")
	return err
}

// jsonLines is an object or a list, each member on a line of its own.
func jsonLines(begin string, members []string, end, indent string) string {
	if len(members) == 0 {
		return begin + end
	}
	inner := "\n" + indent + "  "
	return begin + inner + strings.Join(members, ","+inner) + "\n" + indent + end
}

// jsonStrings is a list of strings as the value of a field.
func jsonStrings(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = jsonString(s)
	}
	return jsonLines("[", quoted, "]", "    ")
}

// jsonString is a text as a JSON string (RFC 8259, section 7). A byte that is
// no UTF-8 becomes U+FFFD. U+2028 and U+2029, which are ends of lines to
// JavaScript, are written as numbers.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\u2028', '\u2029', utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			if r < ' ' {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// writeTable writes rows whose cells stand below each other, two blanks apart.
// The last cell of a row may be as wide as it likes.
func writeTable(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		last := len(row) - 1
		for i, cell := range row[:last] {
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(row[last] + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"container/nl"
)

// inShell puts the shell's variables in the place of the numbers and names that
// stand in for them.
func inShell(line string) string {
	return replacer{
		fmt.Sprint(standInIndex), "$index",
		fmt.Sprint(standInPID), "$pid",
		fmt.Sprint(" mtu ", standInMTU), " ${mtu:+mtu $mtu}",
		fmt.Sprint(standInNumber), "$number",
		"'" + standInAlias + "'", `"$alias"`,
		standInGroup, "$veth",
		standInMAC.String(), "$mac",
		hostMAC(standInMAC).String(), "fe${mac#02}",
		"fe80::31:41ff:fe59:2653", "$linklocal",
		"0xfe80000000000000003141fffe592653", "$target",
		"@SETTING@=@VALUE@", "$2=$3",
	}.replace(line)
}

// replacer is pairs of texts: one that is looked for, and one to put in its
// place. Of several that are found at the same place, the first counts. (That of
// package strings is three, made for speed.)
type replacer []string

func (r replacer) replace(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		from, to := s[:1], s[:1]
		for i := 0; i < len(r); i += 2 {
			if strings.HasPrefix(s, r[i]) {
				from, to = r[i], r[i+1]
				break
			}
		}
		b.WriteString(to)
		s = s[len(from):]
	}
	return b.String()
}

// shellText is a script that grows.
type shellText struct {
	strings.Builder
	indent string
}

// line adds a line, or several.
func (s *shellText) line(text string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			s.WriteString(s.indent + l)
		}
		s.WriteByte('\n')
	}
}

func (s *shellText) linef(format string, args ...any) { s.line(fmt.Sprintf(format, args...)) }

// function adds a function, with the comment above it that says why.
func (s *shellText) function(name, why string, body func()) {
	s.line("")
	s.comment(why)
	s.line(name + "() {")
	s.indent += "    "
	body()
	s.indent = strings.TrimSuffix(s.indent, "    ")
	s.line("}")
}

func (s *shellText) comment(text string) {
	for l := range strings.SplitSeq(text, "\n") {
		s.line(strings.TrimSuffix("# "+l, " "))
	}
}

// heredoc adds a command and the text that is its standard input. The shell
// expands nothing in a text that is literal.
func (s *shellText) heredoc(command, mark, text string, literal bool) {
	for slices.Contains(strings.Split(text, "\n"), mark) {
		mark += "_"
	}
	word := mark
	if literal {
		word = "'" + mark + "'"
	}
	s.line(command + " <<" + word)
	s.WriteString(strings.TrimSuffix(text, "\n") + "\n" + mark + "\n")
}

// do adds what requests do, a line each, with words before each line.
func (s *shellText) do(before string, reqs ...nl.Request) {
	for _, r := range reqs {
		s.line(before + inShell(r.Cmd))
	}
}

// transaction adds one of nf_tables: nft(8) sends what it reads in one piece.
func (s *shellText) transaction(before string, put replacer, reqs []nl.Request) {
	var text strings.Builder
	for _, r := range reqs {
		text.WriteString(put.replace(inShell(inHeredoc(nftLine(r.Cmd)))) + "\n")
	}
	s.heredoc(before+"nft -f -", "NFT", text.String(), false)
}

// inHeredoc keeps a heredoc's shell from reading what is not meant for it.
func inHeredoc(line string) string {
	return replacer{`\`, `\\`, `$`, `\$`, "`", "\\`"}.replace(line)
}

// inQuotes keeps the shell from reading what is not meant for it in a text that
// stands between double quotes.
func inQuotes(text string) string { return strings.ReplaceAll(inHeredoc(text), `"`, `\"`) }

// nftLine is a command line of nft(8) as nft reads it from a file: without its
// name, and what the shell would take quotes from without these.
func nftLine(cmd string) string {
	words, quoted, ok := strings.Cut(strings.TrimPrefix(cmd, "nft "), "'")
	if !ok {
		return words
	}
	return words + strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), `'\''`, "'")
}

// word makes one word of a string, for a shell.
func word(s string) string {
	if plainWord(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainWord tells whether a shell takes a string as it is. With a = in front it
// would be an assignment.
func plainWord(s string) bool {
	const plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/._,:+@%-"
	return s != "" && s[0] != '=' && strings.Trim(s, plain+"=") == ""
}

// firstGroup is the descriptor of the container's first cgroup; there are three
// at most.
const firstGroup = 6

// shellWords is words of a command line, for a shell.
func shellWords(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = word(s)
	}
	return strings.Join(quoted, " ")
}

// sysctl is the command that sets a setting, which is named by its path below
// /proc/sys: a dot in a link's name would be taken for one between two parts.
func sysctl(name, value string) string {
	if !strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, "/", ".")
	}
	return "sysctl -qw " + word(name+"="+value)
}

// toolFunctions sees to it that the tools are the real ones.
func (s *shellText) toolFunctions(names []string) {
	s.line("")
	s.comment("busybox's shell has small programs of these names inside, which it would prefer.")
	s.line("for tool in " + strings.Join(names, " ") + `; do
    file=
    IFS=:
    for dir in $PATH; do
        [ -n "$file" ] || [ ! -x "$dir/$tool" ] || file=$dir/$tool
    done
    unset IFS
    [ -n "$file" ] || die "this takes the program $tool"
    eval "$tool=\$file; $tool() { \"\$$tool\" \"\$@\"; }"
done`)
}

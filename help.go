//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

const usage = `usage: main [flags] ADDRESS COMMAND [ARG...]   run COMMAND in a new container
       main exec [flags] ADDRESS COMMAND [ARG...]
                                               run COMMAND in the container at ADDRESS
       main ls [flags]                         the running containers
       main check [flags]                      what this kernel has and lacks for the job
       main gc [flags]                         clear what a killed run left behind
       main down [flags]                       take the bridge and every rule away again
       main version                            what this binary was built from
       main help [VERB]                        the flags, those of VERB
`

// verbHelp is what "main help VERB" says before the verb's flags.
var verbHelp = map[string]string{
	"exec": `usage: main exec [flags] ADDRESS COMMAND [ARG...]

Runs COMMAND in the container that has ADDRESS, either one of two (main ls
shows them). It may do there what the container's own command may.
`,
	"ls": `usage: main ls [flags]

Lists the running containers: addresses, first process, how long they are up,
bridge, published ports, command.
`,
	"check": `usage: main check [flags]

Tries what a run does, in namespaces that are thrown away, and prints what this
kernel has and lacks for it. The status is 0 if a plain run would work, else 1.
`,
	"gc": `usage: main gc [flags]

Clears what killed runs left behind: leases, published ports, cgroups. Puts back
for those that run what somebody has taken out of nf_tables.
`,
	"down": `usage: main down [flags]

Takes the bridges and all rules away again, and puts back the kernel's settings
that were changed. It is refused while containers run.
`,
	"version": `usage: main version

Prints what this binary was built from.
`,
	"help": `usage: main help [VERB]

Prints the flags of a run, or those of VERB.
`,
}

// help prints what "main help [VERB]" says.
func help(verbs []string, w io.Writer) error {
	var text strings.Builder
	if err := writeHelp(verbs, &text); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeHelp(verbs []string, w *strings.Builder) error {
	if len(verbs) > 1 {
		return fmt.Errorf("help takes one VERB, and here is %q", verbs[1])
	}
	if len(verbs) == 0 {
		printHelp(w)
		return nil
	}
	text, ok := verbHelp[verbs[0]]
	if !ok {
		return fmt.Errorf("help: there is no verb %q", verbs[0])
	}
	fmt.Fprint(w, text)
	if fs := flagsOf(verbs[0]); hasFlags(fs) {
		fmt.Fprint(w, "\nflags:\n")
		printFlags(w, fs)
	}
	return nil
}

// printHelp prints what "main help" says.
func printHelp(w io.Writer) {
	fmt.Fprint(w, usage+"\nflags of a run:\n")
	printFlags(w, flags(new(options)))
	fmt.Fprint(w, "\nflags of the other verbs, of which main help VERB tells:\n")
	for _, verb := range []string{"exec", "ls", "check", "gc", "down"} {
		fmt.Fprintf(w, "  %-5s", verb)
		flagsOf(verb).VisitAll(func(f *flag.Flag) { fmt.Fprint(w, " -", f.Name) })
		fmt.Fprintln(w)
	}
}

// asksForHelp tells whether a command line has -h or -help among its flags, and
// of which verb, "" for a run. Asking takes no privilege, so it is looked for
// before anything else.
func asksForHelp(args []string) (verb []string, asks bool) {
	if !slices.ContainsFunc(args, func(s string) bool {
		s = strings.TrimPrefix(s, "-")
		return s == "-h" || s == "-help" || s == "h" || s == "help"
	}) {
		return nil, false
	}
	if _, ok := verbHelp[args[0]]; ok {
		verb, args = args[:1], args[1:]
	}
	fs := flags(new(options))
	if verb != nil {
		fs = flagsOf(verb[0])
	}
	return verb, errors.Is(fs.Parse(args), flag.ErrHelp)
}

// flagsOf are the flags that a verb takes.
func flagsOf(verb string) *flag.FlagSet {
	switch verb {
	case "exec":
		return execFlags(new(execOptions))
	case "ls", "check", "gc", "down":
		return verbFlags(verb, new(verbOptions))
	}
	return newFlags(verb)
}

func newFlags(verb string) *flag.FlagSet {
	fs := flag.NewFlagSet("main "+verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// verbOptions is what a verb that is neither a run nor an exec was asked for.
type verbOptions struct {
	narration
	json bool
}

// verbFlags declares the flags of such a verb: two of them can print JSON.
func verbFlags(verb string, o *verbOptions) *flag.FlagSet {
	fs := newFlags(verb)
	o.flags(fs)
	if verb == "ls" || verb == "check" {
		fs.BoolVar(&o.json, "json", false, "print JSON")
	}
	return fs
}

// parseVerb reads the command line of such a verb, which takes no arguments,
// and begins the narration that it asks for.
func parseVerb(args []string, stderr io.Writer) (o verbOptions, x *narrator, err error) {
	fs := verbFlags(args[0], &o)
	if err := fs.Parse(args[1:]); err != nil {
		return o, nil, err
	}
	if fs.NArg() > 0 {
		return o, nil, fmt.Errorf("%s takes no arguments, and here is %q", args[0], fs.Arg(0))
	}
	x, err = o.narrate(stderr)
	return o, x, err
}

func hasFlags(fs *flag.FlagSet) (has bool) {
	fs.VisitAll(func(*flag.Flag) { has = true })
	return has
}

// printFlags prints flags as PrintDefaults does, less the defaults: what a flag
// is by default its text says, for those as well that have no one value.
func printFlags(w io.Writer, fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		fmt.Fprintf(w, "  -%s%s\n    \t%s\n", f.Name, value, text)
	})
}

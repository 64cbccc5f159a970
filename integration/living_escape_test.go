//go:build linux

package integration

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// withPerl is the flags of a container that has a tree of its own, and the
// host's perl in it, but not the directory that ./main is in.
func withPerl(t *testing.T, tree string) []string {
	t.Helper()
	need.Tool(t, "perl")
	flags := []string{"-rootfs", tree, "-e", "PATH=/usr/bin:/bin"}
	for _, dir := range []string{"/usr", "/lib", "/lib64"} {
		if exists(dir) {
			flags = append(flags, "-v", dir+":"+dir+":ro")
		}
	}
	return flags
}

// seize is what an attacker inside runs, until a file "stop" is there: it looks
// at every process of the container for a program that is not the container's,
// keeps a descriptor of it, and tries to write it; so it does with its own
// program by way of /proc/self/exe, and with process 1's. It has begun when it
// says so, and in the end says how often it looked and what it could write.
const seize = `
$| = 1;
my %mine = map { my @s = stat($_); @s ? ("$s[0]:$s[1]" => 1) : () } "/usr/bin/perl", "/bin/busybox";
my (%held, %wrote, $reached, $rounds);
sub try {
	my ($path, $what) = @_;
	for my $mode ("+<", ">>", "+>") {
		# The last would truncate; by then the others have failed.
		last if $wrote{$what};
		$wrote{$what} = $mode if open(my $w, $mode, $path);
	}
}
print "ready\n";
until (-e "/stop") {
	$rounds++;
	opendir(my $d, "/proc"); my @p = grep { /^\d+$/ } readdir $d; closedir $d;
	for my $p (@p) {
		open(my $f, "<", "/proc/$p/exe") or next;
		my @s = stat($f);
		next if $mine{"$s[0]:$s[1]"} || $held{"$s[0]:$s[1]"};
		$reached++;
		$held{"$s[0]:$s[1]"} = $f;
	}
	for my $f (values %held) { try("/proc/self/fd/" . fileno($f), "by a descriptor") }
	try("/proc/1/exe", "process 1") unless $rounds > 3;
}
print "looked\n" if $rounds > 0;
print "wrote: ", join(", ", map { "$_ ($wrote{$_})" } sort keys %wrote), "\n";
print "reached process 1\n" if open(my $f, "<", "/proc/1/exe");
`

func sum(t *testing.T, name string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// The host's ./main can't be overwritten from inside (CVE-2019-5736): not by way
// of process 1, and not by scripts and links that have the kernel execute
// /proc/self/exe in the moment when that is still ./main.
func TestHostsProgramStays(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "seize.pl", seize)
	put(t, tree+"/evil", "#!/proc/self/exe\n", 0o755)
	put(t, tree+"/evil.too", "#!/link\n", 0o755)
	link(t, "/proc/self/exe", tree+"/link")
	// The binary under attack is a copy, in case that the attack succeeds.
	program := filepath.Join(t.TempDir(), "main")
	b, err := os.ReadFile(lab.MainBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, program, string(b), 0o755)
	before := sum(t, program)

	c := n.Command(program, words(withPerl(t, tree), []string{address, "perl", "/seize.pl"})...)
	var stderr strings.Builder
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the attacker says %q: %s", lines.Text(), stderr.String())
	}
	for range 30 {
		for _, command := range []string{"/evil", "/evil.too", "/link", "/proc/self/exe"} {
			_, _, status := n.Command(program, "exec", address, command).Result()
			// It comes to nothing: ./main, in there, is told nonsense.
			if status == 0 {
				t.Errorf("main exec %s succeeds", command)
			}
		}
	}
	put(t, tree+"/stop", "", 0o644)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the attacker: %v: %s", err, stderr.String())
	}
	if got, want := strings.Join(said, "\n"), "looked\nwrote: "; got != want {
		t.Errorf("the attacker says:\n%s\nwant:\n%s", got, want)
	}
	if sum(t, program) != before {
		t.Error("the host's program has been overwritten")
	}

	// As a run's own command.
	for _, command := range []string{"/evil", "/evil.too", "/link"} {
		if _, _, status := n.Command(program, "-rootfs", tree, "172.16.0.31", command).Result(); status == 0 {
			t.Errorf("main %s succeeds", command)
		}
	}
	if sum(t, program) != before {
		t.Error("the host's program has been overwritten")
	}
}

// A working directory by way of a descriptor that the runner's caller, or the
// runner itself, has open is no way to the host (CVE-2024-21626): for a run and
// for an exec, whatever the number.
func TestLeakedWorkingDirectory(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	for i := range 25 {
		link(t, fmt.Sprint("/proc/self/fd/", i), fmt.Sprint(tree, "/link", i))
	}
	hosts, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer hosts.Close()
	keep := hold(t, n, "-rootfs", tree, "172.16.0.31")
	leaking := func(args ...string) *lab.Cmd {
		c := n.Main(args...)
		for range 20 {
			c.ExtraFiles = append(c.ExtraFiles, hosts) // 3 to 22
		}
		c.Dir = "/"
		return c
	}
	for i := range 25 {
		for _, dir := range []string{fmt.Sprint("/proc/self/fd/", i), fmt.Sprint("/proc/self/fd/", i, "/.."), fmt.Sprint("/link", i)} {
			for _, verb := range [][]string{{"-rootfs", tree, "-w", dir, address}, {"exec", "-w", dir, "172.16.0.31"}} {
				stdout, _, status := leaking(words(verb, []string{"ls", "-A"})...).Result()
				if status != 125 || stdout != "" {
					t.Errorf("%q: status %d, the directory has %q", verb, status, stdout)
				}
			}
		}
	}
	for _, dir := range []string{"/proc/1/cwd", "/proc/1/root", "/proc/self/cwd", "/proc/self/root", "/proc/self/root/.."} {
		for _, verb := range [][]string{{"-rootfs", tree, "-w", dir, address}, {"exec", "-w", dir, "172.16.0.31"}} {
			stdout, _, status := leaking(words(verb, []string{"ls", "-A", ".."})...).Result()
			if status == 0 && !strings.HasPrefix(stdout, "bin\ndev\netc\nlink0\n") || status != 0 && (status != 125 || stdout != "") {
				t.Errorf("%q: status %d, the directory has %q", verb, status, stdout)
			}
		}
	}
	keep.end(t)
}

// watch looks at the container's processes as fast as it can, until a file
// "stop" is there. Of those that are not commands yet, but copies of ./main, it
// tells what it could have taken: their program, memory, descriptors, root, and
// more capabilities than it has itself. The name is read last: who still has
// its old name then had it all the while.
const watch = `
$| = 1;
my ($stop) = @ARGV;
sub status { open(my $f, "<", "/proc/$_[0]/status") or return; local $/; my $s = <$f>; my ($n) = $s =~ /^Name:\s+(.*)/; my ($c) = $s =~ /^CapEff:\s+(\S+)/m; return ($n, hex $c) }
my (undef, $own) = status($$);
my (%found, $seen);
print "ready\n";
until (-e $stop) {
	opendir(my $d, "/proc"); my @p = grep { /^\d+$/ && $_ != $$ } readdir $d; closedir $d;
	for my $p (@p) {
		my @got;
		for my $f ("exe", "cwd", "root", "ns/mnt") { push @got, $f if defined readlink("/proc/$p/$f") }
		for my $f ("mem", "environ", "exe", "maps", "auxv") { push @got, "read $f" if open(my $h, "<", "/proc/$p/$f") and sysread($h, my $b, 1) }
		for my $f (glob("/proc/$p/fd/*")) { push @got, "fd $f" if defined readlink($f) or open(my $h, "<", $f) }
		my ($name, $caps) = status($p) or next;
		next unless $name =~ /^(joiner|init|main|guardian)$/;
		$seen++ if $name eq "joiner";
		push @got, sprintf("capabilities %x", $caps & ~$own) if $caps & ~$own;
		$found{"$name: @got"}++ if @got;
	}
}
print "$_ ($found{$_} times)\n" for sort keys %found;
print $seen ? "joiners were seen\n" : "no joiner was seen\n";
`

// From inside, nothing can be had of a process that joins the container: it is
// seen, between its fork and its execve, but is neither to be traced nor read,
// and has nothing that the container hasn't.
func TestJoinerCantBeReached(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	stop := filepath.Join(t.TempDir(), "stop")
	c := n.Main(address, "perl", "-e", watch, stop)
	var stderr strings.Builder
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the watcher says %q: %s", lines.Text(), stderr.String())
	}
	for i := range 60 {
		args := []string{"exec", address, "true"}
		if i%3 == 1 {
			args = []string{"exec", "-u", "1000", address, "true"}
		}
		if i%3 == 2 {
			args = []string{"exec", "-t", address, "true"}
		}
		succeed(t, n.Main(args...))
	}
	put(t, stop, "", 0o644)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the watcher: %v: %s", err, stderr.String())
	}
	if got := strings.Join(said, "\n"); got != "joiners were seen" {
		t.Errorf("the watcher says:\n%s", got)
	}
}

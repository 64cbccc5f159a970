//go:build linux

package xtables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The options of ip_tables.h; ip6_tables.h has the same numbers.
const (
	getInfo     = 64 // IPT_SO_GET_INFO
	getEntries  = 65 // IPT_SO_GET_ENTRIES
	setReplace  = 64 // IPT_SO_SET_REPLACE
	addCounters = 65 // IPT_SO_SET_ADD_COUNTERS
)

// hooks is NF_INET_NUMHOOKS.
const hooks = 5

// socket is what tables are read and replaced by: any of the family will do,
// with CAP_NET_ADMIN.
type socket struct {
	Family
	fd int
}

func (f Family) dial() (socket, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return socket{}, fmt.Errorf("%s: raw socket: %w", f.tool, err)
	}
	return socket{f, fd}, nil
}

func (s socket) close() { unix.Close(s.fd) }

// get is getsockopt(2) for an option that is asked for by what is in b. (Before
// Linux 4.3 the call was not to be had by itself on 386 and s390x: ENOSYS.)
func (s socket) get(option int, b []byte) error {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), uintptr(s.level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (s socket) set(option int, b []byte) error {
	return unix.SetsockoptString(s.fd, s.level, option, string(b))
}

// read gets the table. When it becomes another size between its two questions
// (EAGAIN), it asks again.
func (s socket) read() (t *table, err error) {
	for range 20 {
		if t, err = s.readOnce(); !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	return t, err
}

//	struct ipt_getinfo {
//		char name[32];
//		unsigned int valid_hooks, hook_entry[5], underflow[5], num_entries, size;
//	};
//
//	struct ipt_get_entries {
//		char name[32];
//		unsigned int size;
//		struct ipt_entry entrytable[];     // aligned
//	};
func (s socket) readOnce() (*table, error) {
	info := append(header(), make([]byte, 4*(1+2*hooks+2))...)
	if err := s.get(getInfo, info); err != nil {
		return nil, fmt.Errorf("%s: table %s: ask for its size: %w", s.tool, tableName, err)
	}
	t := &table{Family: s.Family}
	field := func(i int) uint32 { return u32(info[len(header())+4*i:]) }
	t.valid = field(0)
	for h := range hooks {
		t.hook[h], t.underflow[h] = field(1+h), field(1+hooks+h)
	}
	count, size := int(field(1+2*hooks)), field(2+2*hooks)

	b := pad(binary.NativeEndian.AppendUint32(header(), size))
	t.blob = append(b, make([]byte, size)...)
	if err := s.get(getEntries, t.blob); err != nil {
		return nil, fmt.Errorf("%s: table %s: read: %w", s.tool, tableName, err)
	}
	t.blob = t.blob[len(b):]
	if err := t.parse(); err != nil {
		return nil, fmt.Errorf("%s: table %s: %w", s.tool, tableName, err)
	}
	if len(t.starts) != count {
		return nil, fmt.Errorf("%s: table %s: %d entries, and %d were told", s.tool, tableName, len(t.starts), count)
	}
	for i := range count {
		t.old = append(t.old, i)
	}
	t.count = count
	return t, nil
}

// replace puts the table in the place of the one it was made of, with the
// counters as they are: EAGAIN if the number of entries there is another by now.
//
//	struct ipt_replace {
//		char name[32];
//		unsigned int valid_hooks, num_entries, size, hook_entry[5], underflow[5];
//		unsigned int num_counters;         // how many entries are replaced
//		struct xt_counters *counters;      // where to put theirs
//		struct ipt_entry entries[];        // aligned
//	};
//	struct xt_counters_info {
//		char name[32];
//		unsigned int num_counters;
//		struct xt_counters counters[];     // aligned
//	};
func (s socket) replace(t *table) error {
	const counter = 16 // sizeof(struct xt_counters)
	counted := make([]byte, counter*t.count)
	var pin runtime.Pinner
	pin.Pin(&counted[0])
	defer pin.Unpin()

	b := header()
	add := func(n uint32) { b = binary.NativeEndian.AppendUint32(b, n) }
	add(t.valid)
	add(uint32(len(t.starts)))
	add(uint32(len(t.blob)))
	for _, n := range append(t.hook[:], t.underflow[:]...) {
		add(n)
	}
	add(uint32(t.count))
	pointer := uintptr(unsafe.Pointer(&counted[0]))
	if unsafe.Sizeof(pointer) == 8 {
		b = binary.NativeEndian.AppendUint64(b, uint64(pointer))
	} else {
		add(uint32(pointer))
	}
	if err := s.set(setReplace, append(pad(b), t.blob...)); err != nil {
		return fmt.Errorf("%s: table %s: replace: %w", s.tool, tableName, err)
	}

	b = pad(binary.NativeEndian.AppendUint32(header(), uint32(len(t.old))))
	for _, i := range t.old {
		if i < 0 {
			b = append(b, make([]byte, counter)...)
		} else {
			b = append(b, counted[counter*i:][:counter]...)
		}
	}
	// It fails if somebody has replaced the table again. The rules are there;
	// what was counted is lost.
	_ = s.set(addCounters, b)
	return nil
}

// hasComment tells whether the kernel has the match "comment", or can load it.
//
//	struct xt_get_revision {
//		char name[29];
//		__u8 revision;
//	};
func (s socket) hasComment() bool {
	b := make([]byte, 30)
	copy(b, "comment")
	return s.get(s.matchRevision, b) == nil
}

// header is char name[XT_TABLE_MAXNAMELEN], which all begin with.
func header() []byte { return append([]byte(tableName), make([]byte, 32-len(tableName))...) }

// pad fills up to what a structure with a __u64 in it begins at.
func pad(b []byte) []byte { return append(b, make([]byte, align(len(b))-len(b))...) }

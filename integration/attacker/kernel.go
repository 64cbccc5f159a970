//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attempts that the kernel wants structures for.

func callPointer(trap uintptr, p *byte) error {
	_, _, errno := unix.RawSyscall(trap, uintptr(unsafe.Pointer(p)), 0, 0)
	runtime.KeepAlive(p)
	if errno != 0 {
		return errno
	}
	return nil
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return errNotThere
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// bpfMap makes an array of one element.
func bpfMap() error {
	attr := struct{ kind, key, value, entries, flags uint32 }{2, 4, 4, 1, 0} // BPF_MAP_TYPE_ARRAY
	_, _, errno := unix.RawSyscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS:
		return errNotThere
	}
	return errno
}

// perfEvent counts what the whole machine's first processor does.
func perfEvent() error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return errNotThere
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func ioUring() error {
	var params [120]byte // struct io_uring_params
	_, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS:
		return errNotThere
	}
	return errno
}

// peersLinks asks for the links of the network namespace that the other end of
// veth1 is in: the host's. Each namespace has numbers for those that its links
// lead to (IFLA_LINK_NETNSID).
func peersLinks() error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	// The kernel gives the number when it is asked about the link.
	links := make([]byte, unix.SizeofIfInfomsg)
	msgs, err := c.Execute(netlink.Message{Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump}, Data: links})
	if err != nil {
		return err
	}
	number := int32(-1)
	for _, m := range msgs {
		ad, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
		if err != nil {
			return err
		}
		for ad.Next() {
			if ad.Type() == unix.IFLA_LINK_NETNSID {
				number = ad.Int32()
			}
		}
	}
	if number < 0 {
		return errNotThere
	}
	const ifName = "br0"
	ae := netlink.NewAttributeEncoder()
	ae.Int32(unix.IFLA_TARGET_NETNSID, number)
	ae.String(unix.IFLA_IFNAME, ifName)
	b, err := ae.Encode()
	if err != nil {
		return err
	}
	msgs, err = c.Execute(netlink.Message{Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request}, Data: append(links, b...)})
	if err != nil {
		return err
	}
	if len(msgs) != 1 || len(msgs[0].Data) < unix.SizeofIfInfomsg {
		return fmt.Errorf("%d answers", len(msgs))
	}
	if binary.NativeEndian.Uint32(msgs[0].Data[4:]) == 0 {
		return os.ErrNotExist
	}
	return nil
}

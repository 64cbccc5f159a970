//go:build linux

package dissect

import "golang.org/x/sys/unix"

// errnoText is a negative errno, by its name and in words.
func errnoText(v int32) string {
	switch {
	case v == 0:
		return "0, done"
	case v > 0 || v < -4095: // MAX_ERRNO, linux/err.h
		return itoa(int(v))
	}
	errno := unix.Errno(-v)
	return "-" + errnoName(errno) + ", " + errno.Error()
}

// errnoName is the name of an errno that netlink may answer with, and of others
// the number: unix.ErrnoName, which knows them all, takes 12 KB of the program.
func errnoName(errno unix.Errno) string {
	// Up to here they are the same everywhere.
	if e, ok := entryAt("errno", int(errno)); ok {
		return e.name
	}
	switch errno {
	case unix.EADDRINUSE:
		return "EADDRINUSE"
	case unix.EADDRNOTAVAIL:
		return "EADDRNOTAVAIL"
	case unix.EAFNOSUPPORT:
		return "EAFNOSUPPORT"
	case unix.EALREADY:
		return "EALREADY"
	case unix.EBADMSG:
		return "EBADMSG"
	case unix.EHOSTUNREACH:
		return "EHOSTUNREACH"
	case unix.ELOOP:
		return "ELOOP"
	case unix.EMSGSIZE:
		return "EMSGSIZE"
	case unix.ENAMETOOLONG:
		return "ENAMETOOLONG"
	case unix.ENETDOWN:
		return "ENETDOWN"
	case unix.ENETUNREACH:
		return "ENETUNREACH"
	case unix.ENOBUFS:
		return "ENOBUFS"
	case unix.ENODATA:
		return "ENODATA"
	case unix.ENOSYS:
		return "ENOSYS"
	case unix.ENOTCONN:
		return "ENOTCONN"
	case unix.ENOTEMPTY:
		return "ENOTEMPTY"
	case unix.EOPNOTSUPP:
		return "EOPNOTSUPP"
	case unix.EOVERFLOW:
		return "EOVERFLOW"
	case unix.EPROTONOSUPPORT:
		return "EPROTONOSUPPORT"
	case unix.ERESTART:
		return "ERESTART"
	case unix.ETIMEDOUT:
		return "ETIMEDOUT"
	case unix.EXFULL:
		return "EXFULL"
	}
	return itoa(int(errno))
}

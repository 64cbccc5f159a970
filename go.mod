module container

go 1.26.0

require (
	// What differs, in words. For tests alone: nothing of it is in the binary.
	github.com/google/go-cmp v0.7.0
	// The nf_tables expressions (meta, payload, lookup, nat, …) as typed values.
	github.com/google/nftables v0.3.0
	// Netlink sockets, message headers and attributes.
	github.com/mdlayher/netlink v1.11.2
	// The kernel's numbers and the raw system calls.
	golang.org/x/sys v0.49.0
)

require (
	// What netlink's sockets are made of.
	github.com/mdlayher/socket v0.6.0 // indirect
	// netlink takes filters for its sockets (package bpf), which nobody sets here.
	golang.org/x/net v0.53.0 // indirect
	// socket connects in groups (package errgroup), which nobody does here.
	golang.org/x/sync v0.20.0 // indirect
)

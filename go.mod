module container

go 1.26.0

require (
	// What differs, in words. For tests alone.
	github.com/google/go-cmp v0.7.0
	// The nf_tables expressions (meta, payload, lookup, nat, …) as typed values.
	github.com/google/nftables v0.3.0
	// Netlink sockets, message headers and attributes.
	github.com/mdlayher/netlink v1.11.2
	// The kernel's numbers and the raw system calls.
	golang.org/x/sys v0.49.0
)

require (
	github.com/mdlayher/socket v0.6.0 // indirect
	golang.org/x/net v0.53.0 // indirect
	golang.org/x/sync v0.20.0 // indirect
)

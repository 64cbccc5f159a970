//go:build linux

// Package nl holds one conversation with the kernel over a netlink socket.
//
// A Request is a value: the bytes of one netlink message, the words that an
// error says it was, and the ip(8) or nft(8) command that would do the same.
// Builders in packages rtnl and nat make requests and send nothing; Conn.Do
// and Conn.Query send and build nothing. So whatever narrates, records or
// checks what the program tells the kernel has one place to stand.
//
// The kernel handles every message of one sendmsg(2) before that call returns
// (netlink_unicast_kernel, net/netlink/af_netlink.c), so all answers are there
// to be received when it has returned, each with its request's sequence number.
package nl

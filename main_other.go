//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "main: containers are made of Linux namespaces: this runs on Linux alone")
	os.Exit(125)
}

//go:build linux

package main

import "errors"

func writeTable(name string, outcomes []outcome) error { return errors.New("not yet") }
func (b *bench) smallest(what boot) outcome            { return outcome{} }

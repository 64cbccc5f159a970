//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// down takes the ruleset and our bridges away and puts back the settings that
// were changed. It refuses while containers run.
func down(x *narrator, _ io.Writer) error {
	k, err := dialKernel(x)
	if err != nil {
		return err
	}
	defer k.close()
	s, err := k.survey()
	if err != nil {
		return err
	}
	if err := s.refuseTenants(); err != nil {
		return err
	}
	links, err := rtnl.List(k.route)
	if err != nil {
		return err
	}
	bridges := slices.DeleteFunc(links, func(l rtnl.Link) bool { return !isOurs(l) })
	// A run that starts meanwhile looks at its bridge after it has its lease:
	// either it sees this note, or its lease makes dropTables fail.
	if err := note(k.route, bridges, leaving+leaver(os.Getpid())); err != nil {
		return err
	}
	if err := s.dropTables(); err != nil {
		return errors.Join(err, note(k.route, bridges, bridgeAlias))
	}
	names := make([]string, len(bridges))
	for i, br := range bridges {
		names[i] = br.Name
	}
	if err := closeGates(x, k.nat, names); err != nil {
		return err
	}
	for _, br := range bridges {
		if err := k.route.Do(rtnl.DeleteLink(br.Index, br.Name)); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return sweepGroups(x)
}

// note sets the alias of bridges. One that is gone needs none.
func note(route *nl.Conn, bridges []rtnl.Link, alias string) error {
	for _, br := range bridges {
		if err := route.Do(rtnl.SetAlias(br.Name, alias)); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}

func (s *inventory) refuseTenants() error {
	if len(s.live) == 0 {
		return nil
	}
	names := make([]string, len(s.live))
	for i, t := range s.live {
		names[i] = fmt.Sprintf("%s %s", joined(t.who.addresses), describe(t.link, t.who))
	}
	return fmt.Errorf("containers run: %s", strings.Join(names, "; "))
}

// dropTables deletes the tables, if nobody has leased an address since the look.
// The settings are put back before: a run that starts meanwhile looks at them
// after it has its lease, so either it sees them put back and changes them
// again, or its lease has made the deletion fail here, and they are changed
// again here.
func (s *inventory) dropTables() error {
	if len(s.families) == 0 {
		return nil
	}
	var old []nat.Sysctl
	var reqs []nl.Request
	for _, f := range s.families {
		if f != nat.Bridge {
			settings, err := f.Remembered(s.nat)
			if err != nil {
				return err
			}
			old = append(old, settings...)
		}
		reqs = append(reqs, f.DeleteTable())
	}
	before, err := putBack(s.x, old)
	if err == nil {
		err = s.nat.Do(nat.BatchAt(s.gen, reqs)...)
	}
	if err == nil {
		return nil
	}
	// It may be the answer alone that was lost (ENOBUFS).
	if there, lerr := nat.Tables(s.nat); lerr == nil && len(there) == 0 {
		return nil
	}
	if errors.Is(err, unix.ERESTART) {
		err = errors.New("the ruleset was changed meanwhile: a container is starting, or somebody runs nft; try again")
	}
	_, again := putBack(s.x, before)
	return errors.Join(err, again)
}

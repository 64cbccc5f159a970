//go:build linux

package nat

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// GetGen asks for the generation of this namespace's ruleset, a number that
// every transaction changes. No command asks that alone: nft does before and
// after everything that it lists, to notice a change in between.
func GetGen() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_GETGEN),
		Flags: netlink.Request,
		Data:  body(unix.AF_UNSPEC, 0, nil),
		What:  "nf_tables: ask for the ruleset's generation",
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EINVAL, Text: noTables},
		},
	}
}

// Generation sends GetGen and reads the answer.
func Generation(c *nl.Conn) (uint32, error) { return askNumber(c, GetGen(), unix.NFTA_GEN_ID) }

// askNumber asks a question and gives the number that an attribute of the answer
// has.
func askNumber(c *nl.Conn, r nl.Request, attribute uint16) (uint32, error) {
	answers, err := c.Query(r)
	if err != nil {
		return 0, err
	}
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		ad, err := decoder(m.Data[4:])
		if err != nil {
			return 0, fmt.Errorf("%s: %w", r.What, err)
		}
		for ad.Next() {
			if ad.Type() == attribute {
				return ad.Uint32(), ad.Err()
			}
		}
	}
	return 0, fmt.Errorf("%s: no answer", r.What)
}

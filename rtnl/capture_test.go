//go:build linux

package rtnl_test

// What a kernel (Linux 6.18, 64 bits) has answered, with the numbers that are
// read back in the host's byte order, and all others as they came. Names and
// numbers of the attributes are those of linux/if_link.h and linux/if_addr.h.

// zeros is so many bytes of 0.
type zeros int

// capturedLo is lo of a new network namespace.
var capturedLo = raw(
	"00 00", u16(772), u32(1), u32(0x8), u32(0), //   struct ifinfomsg
	u16(7), u16(3), "6c 6f 00", "00", //              IFLA_IFNAME
	u16(8), u16(13), "e8 03 00 00", //                IFLA_TXQLEN
	u16(5), u16(16), "02", "00 00 00", //             IFLA_OPERSTATE
	u16(5), u16(17), "00", "00 00 00", //             IFLA_LINKMODE
	u16(5), u16(67), "01", "00 00 00", //             IFLA_NETNS_IMMUTABLE
	u16(8), u16(4), u32(65536), //                    IFLA_MTU
	u16(8), u16(50), "00 00 00 00", //                IFLA_MIN_MTU
	u16(8), u16(51), "00 00 00 00", //                IFLA_MAX_MTU
	u16(8), u16(27), "00 00 00 00", //                IFLA_GROUP
	u16(8), u16(30), "00 00 00 00", //                IFLA_PROMISCUITY
	u16(8), u16(61), "00 00 00 00", //                IFLA_ALLMULTI
	u16(8), u16(31), "01 00 00 00", //                IFLA_NUM_TX_QUEUES
	u16(8), u16(40), "ff ff 00 00", //                IFLA_GSO_MAX_SEGS
	u16(8), u16(41), "00 00 01 00", //                IFLA_GSO_MAX_SIZE
	u16(8), u16(58), "00 00 01 00", //                IFLA_GRO_MAX_SIZE
	u16(8), u16(63), "00 00 01 00", //                IFLA_GSO_IPV4_MAX_SIZE
	u16(8), u16(64), "00 00 01 00", //                IFLA_GRO_IPV4_MAX_SIZE
	u16(8), u16(59), "f8 ff 07 00", //                IFLA_TSO_MAX_SIZE
	u16(8), u16(60), "ff ff 00 00", //                IFLA_TSO_MAX_SEGS
	u16(8), u16(66), "00 00 00 00", //                IFLA_MAX_PACING_OFFLOAD_HORIZON
	u16(8), u16(32), "01 00 00 00", //                IFLA_NUM_RX_QUEUES
	u16(5), u16(33), "01", "00 00 00", //             IFLA_CARRIER
	u16(8), u16(35), "00 00 00 00", //                IFLA_CARRIER_CHANGES
	u16(8), u16(47), "00 00 00 00", //                IFLA_CARRIER_UP_COUNT
	u16(8), u16(48), "00 00 00 00", //                IFLA_CARRIER_DOWN_COUNT
	u16(6), u16(68), "00 00", "00 00", //             IFLA_HEADROOM
	u16(6), u16(69), "00 00", "00 00", //             IFLA_TAILROOM
	u16(5), u16(39), "00", "00 00 00", //             IFLA_PROTO_DOWN
	u16(10), u16(1), "00 00 00 00 00 00", "00 00", // IFLA_ADDRESS
	u16(10), u16(2), "00 00 00 00 00 00", "00 00", // IFLA_BROADCAST
	u16(204), u16(23), zeros(200), //                 IFLA_STATS64
	u16(100), u16(7), zeros(96), //                   IFLA_STATS
	u16(12), u16(43), "05 00 02 00 00 00 00 00", //   IFLA_XDP
	u16(9), u16(6), "6e 6f 6f 70 00", "00 00 00", //  IFLA_QDISC
	u16(448), u16(26), //                             IFLA_AF_SPEC
	"8c 00 02 00 88 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 30 01 0a 00",
	"08 00 01 00 00 00 00 00 14 00 05 00 ff ff 00 00 7e 89 05 00 7c 4c 00 00",
	"e8 03 00 00 f4 00 02 00 00 00 00 00 40 00 00 00 00 00 01 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 ff ff ff ff a0 0f 00 00 e8 03 00 00",
	"ff ff ff ff 80 3a 09 00 80 51 01 00 03 00 00 00 58 02 00 00 10 00 00 00",
	"00 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 60 ea 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff ff ff ff",
	"00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 80 ee 36 00 00 00 00 00 00 00 00 00",
	"01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 04 00 00 00 00 00 00 ff ff 00 00 ff ff ff ff 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 14 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 05 00 08 00 00 00 00 00",
	u16(36), u16(14), zeros(32), //                   IFLA_MAP
	u16(4), u16(0x8000|62), //                        IFLA_DEVLINK_PORT
	u16(4), u16(0x8000|65), //                        IFLA_DPLL_PIN
)

// capturedBridge is a bridge, up, that has a port.
var capturedBridge = raw(
	"00 00", u16(1), u32(2), u32(0x11043), u32(0), // struct ifinfomsg
	u16(8), u16(3), "62 72 30 00", //                 IFLA_IFNAME
	u16(8), u16(13), "e8 03 00 00", //                IFLA_TXQLEN
	u16(5), u16(16), "06", "00 00 00", //             IFLA_OPERSTATE
	u16(5), u16(17), "00", "00 00 00", //             IFLA_LINKMODE
	u16(5), u16(67), "01", "00 00 00", //             IFLA_NETNS_IMMUTABLE
	u16(8), u16(4), u32(1400), //                     IFLA_MTU
	u16(8), u16(50), "44 00 00 00", //                IFLA_MIN_MTU
	u16(8), u16(51), "ff ff 00 00", //                IFLA_MAX_MTU
	u16(8), u16(27), "00 00 00 00", //                IFLA_GROUP
	u16(8), u16(30), "00 00 00 00", //                IFLA_PROMISCUITY
	u16(8), u16(61), "00 00 00 00", //                IFLA_ALLMULTI
	u16(8), u16(31), "01 00 00 00", //                IFLA_NUM_TX_QUEUES
	u16(8), u16(40), "ff ff 00 00", //                IFLA_GSO_MAX_SEGS
	u16(8), u16(41), "00 00 01 00", //                IFLA_GSO_MAX_SIZE
	u16(8), u16(58), "00 00 01 00", //                IFLA_GRO_MAX_SIZE
	u16(8), u16(63), "00 00 01 00", //                IFLA_GSO_IPV4_MAX_SIZE
	u16(8), u16(64), "00 00 01 00", //                IFLA_GRO_IPV4_MAX_SIZE
	u16(8), u16(59), "f8 ff 07 00", //                IFLA_TSO_MAX_SIZE
	u16(8), u16(60), "ff ff 00 00", //                IFLA_TSO_MAX_SEGS
	u16(8), u16(66), "00 00 00 00", //                IFLA_MAX_PACING_OFFLOAD_HORIZON
	u16(8), u16(32), "01 00 00 00", //                IFLA_NUM_RX_QUEUES
	u16(5), u16(33), "01", "00 00 00", //             IFLA_CARRIER
	u16(8), u16(35), "04 00 00 00", //                IFLA_CARRIER_CHANGES
	u16(8), u16(47), "02 00 00 00", //                IFLA_CARRIER_UP_COUNT
	u16(8), u16(48), "02 00 00 00", //                IFLA_CARRIER_DOWN_COUNT
	u16(6), u16(68), "00 00", "00 00", //             IFLA_HEADROOM
	u16(6), u16(69), "00 00", "00 00", //             IFLA_TAILROOM
	u16(5), u16(39), "00", "00 00 00", //             IFLA_PROTO_DOWN
	u16(10), u16(1), "02 00 5e 00 00 01", "00 00", // IFLA_ADDRESS
	u16(10), u16(2), "ff ff ff ff ff ff", "00 00", // IFLA_BROADCAST
	u16(204), u16(23), zeros(200), //                 IFLA_STATS64
	u16(100), u16(7), zeros(96), //                   IFLA_STATS
	u16(12), u16(43), "05 00 02 00 00 00 00 00", //   IFLA_XDP
	u16(412), u16(18), //                             IFLA_LINKINFO
	u16(11), u16(1), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_KIND
	u16(396), u16(2), //                              . IFLA_INFO_DATA
	"0c 00 10 00 00 00 00 00 00 00 00 00 0c 00 11 00 00 00 00 00 00 00 00 00",
	"0c 00 12 00 00 00 00 00 00 00 00 00 0c 00 13 00 09 00 00 00 00 00 00 00",
	"08 00 01 00 dc 05 00 00 08 00 02 00 c8 00 00 00 08 00 03 00 d0 07 00 00",
	"08 00 04 00 30 75 00 00 08 00 05 00 00 00 00 00 06 00 06 00 00 80 00 00",
	"05 00 07 00 00 00 00 00 06 00 09 00 00 00 00 00 0c 00 0b 00 80 00 02 00",
	"5e 00 00 01 0c 00 0a 00 80 00 02 00 5e 00 00 01 06 00 0c 00 00 00 00 00",
	"08 00 0d 00 00 00 00 00 05 00 0e 00 00 00 00 00 05 00 0f 00 00 00 00 00",
	"0a 00 14 00 01 80 c2 00 00 00 00 00 0c 00 2e 00 00 00 00 00 1f 00 00 00",
	"08 00 30 00 00 00 00 00 08 00 31 00 00 00 00 00 05 00 16 00 01 00 00 00",
	"05 00 17 00 01 00 00 00 05 00 18 00 00 00 00 00 05 00 19 00 00 00 00 00",
	"05 00 2a 00 00 00 00 00 08 00 1a 00 10 00 00 00 08 00 1b 00 00 10 00 00",
	"08 00 1c 00 02 00 00 00 08 00 1d 00 02 00 00 00 05 00 2b 00 02 00 00 00",
	"05 00 2c 00 01 00 00 00 0c 00 1e 00 64 00 00 00 00 00 00 00 0c 00 1f 00",
	"90 65 00 00 00 00 00 00 0c 00 20 00 9c 63 00 00 00 00 00 00 0c 00 21 00",
	"d4 30 00 00 00 00 00 00 0c 00 22 00 e8 03 00 00 00 00 00 00 0c 00 23 00",
	"34 0c 00 00 00 00 00 00 05 00 24 00 00 00 00 00 05 00 25 00 00 00 00 00",
	"05 00 26 00 00 00 00 00",
	u16(12), u16(6), "6e 6f 71 75 65 75 65 00", //    IFLA_QDISC
	u16(448), u16(26), //                             IFLA_AF_SPEC
	"8c 00 02 00 88 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 30 01 0a 00",
	"08 00 01 00 00 00 00 80 14 00 05 00 ff ff 00 00 7f 89 05 00 00 69 00 00",
	"e8 03 00 00 f4 00 02 00 00 00 00 00 40 00 00 00 78 05 00 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 ff ff ff ff a0 0f 00 00 e8 03 00 00",
	"00 00 00 00 80 3a 09 00 80 51 01 00 03 00 00 00 58 02 00 00 10 00 00 00",
	"00 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 60 ea 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	"00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 80 ee 36 00 00 00 00 00 00 00 00 00",
	"01 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 04 00 00 00 00 00 00 ff ff 00 00 ff ff ff ff 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 14 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 05 00 08 00 01 00 00 00",
	u16(36), u16(14), zeros(32), //                   IFLA_MAP
	u16(4), u16(0x8000|62), //                        IFLA_DEVLINK_PORT
	u16(4), u16(0x8000|65), //                        IFLA_DPLL_PIN
)

// capturedPort is the host's end of a veth, up, a forwarding port of the
// bridge, with an alias.
var capturedPort = raw(
	"00 00", u16(1), u32(3), u32(0x11043), u32(0), //                                      struct ifinfomsg
	u16(10), u16(3), "76 65 74 68 31 00", "00 00", //                                      IFLA_IFNAME
	u16(8), u16(13), "e8 03 00 00", //                                                     IFLA_TXQLEN
	u16(5), u16(16), "06", "00 00 00", //                                                  IFLA_OPERSTATE
	u16(5), u16(17), "00", "00 00 00", //                                                  IFLA_LINKMODE
	u16(5), u16(67), "00", "00 00 00", //                                                  IFLA_NETNS_IMMUTABLE
	u16(8), u16(4), u32(1400), //                                                          IFLA_MTU
	u16(8), u16(50), "44 00 00 00", //                                                     IFLA_MIN_MTU
	u16(8), u16(51), "ff ff 00 00", //                                                     IFLA_MAX_MTU
	u16(8), u16(27), "00 00 00 00", //                                                     IFLA_GROUP
	u16(8), u16(30), "01 00 00 00", //                                                     IFLA_PROMISCUITY
	u16(8), u16(61), "01 00 00 00", //                                                     IFLA_ALLMULTI
	u16(8), u16(31), "02 00 00 00", //                                                     IFLA_NUM_TX_QUEUES
	u16(8), u16(40), "ff ff 00 00", //                                                     IFLA_GSO_MAX_SEGS
	u16(8), u16(41), "00 00 01 00", //                                                     IFLA_GSO_MAX_SIZE
	u16(8), u16(58), "00 00 01 00", //                                                     IFLA_GRO_MAX_SIZE
	u16(8), u16(63), "00 00 01 00", //                                                     IFLA_GSO_IPV4_MAX_SIZE
	u16(8), u16(64), "00 00 01 00", //                                                     IFLA_GRO_IPV4_MAX_SIZE
	u16(8), u16(59), "f8 ff 07 00", //                                                     IFLA_TSO_MAX_SIZE
	u16(8), u16(60), "ff ff 00 00", //                                                     IFLA_TSO_MAX_SEGS
	u16(8), u16(66), "00 00 00 00", //                                                     IFLA_MAX_PACING_OFFLOAD_HORIZON
	u16(8), u16(32), "02 00 00 00", //                                                     IFLA_NUM_RX_QUEUES
	u16(8), u16(10), u32(2), //                                                            IFLA_MASTER
	u16(5), u16(33), "01", "00 00 00", //                                                  IFLA_CARRIER
	u16(21), u16(20), "31 37 32 2e 31 36 2e 30 2e 33 30 20 62 61 73 68 00", "00 00 00", // IFLA_IFALIAS
	u16(8), u16(35), "02 00 00 00", //                                                     IFLA_CARRIER_CHANGES
	u16(8), u16(47), "01 00 00 00", //                                                     IFLA_CARRIER_UP_COUNT
	u16(8), u16(48), "01 00 00 00", //                                                     IFLA_CARRIER_DOWN_COUNT
	u16(6), u16(68), "00 00", "00 00", //                                                  IFLA_HEADROOM
	u16(6), u16(69), "00 00", "00 00", //                                                  IFLA_TAILROOM
	u16(5), u16(39), "00", "00 00 00", //                                                  IFLA_PROTO_DOWN
	u16(10), u16(1), "86 3f 4b db 63 6f", "00 00", //                                      IFLA_ADDRESS
	u16(10), u16(2), "ff ff ff ff ff ff", "00 00", //                                      IFLA_BROADCAST
	u16(204), u16(23), zeros(200), //                                                      IFLA_STATS64
	u16(100), u16(7), zeros(96), //                                                        IFLA_STATS
	u16(12), u16(43), "05 00 02 00 00 00 00 00", //                                        IFLA_XDP
	u16(364), u16(18), //                                                                  IFLA_LINKINFO
	u16(9), u16(1), "76 65 74 68 00", "00 00 00", //                                       . IFLA_INFO_KIND
	u16(11), u16(4), "62 72 69 64 67 65 00", "00", //                                      . IFLA_INFO_SLAVE_KIND
	u16(336), u16(5), //                                                                   . IFLA_INFO_SLAVE_DATA
	u16(5), u16(1), "03", "00 00 00", //                                                   . . IFLA_BRPORT_STATE
	u16(6), u16(2), "20 00", "00 00", //                                                   . . IFLA_BRPORT_PRIORITY
	u16(8), u16(3), "02 00 00 00", //                                                      . . IFLA_BRPORT_COST
	u16(5), u16(4), "01", "00 00 00", //                                                   . . IFLA_BRPORT_MODE
	u16(5), u16(5), "00", "00 00 00", //                                                   . . IFLA_BRPORT_GUARD
	u16(5), u16(6), "00", "00 00 00", //                                                   . . IFLA_BRPORT_PROTECT
	u16(5), u16(7), "00", "00 00 00", //                                                   . . IFLA_BRPORT_FAST_LEAVE
	u16(5), u16(28), "00", "00 00 00", //                                                  . . IFLA_BRPORT_MCAST_TO_UCAST
	u16(5), u16(8), "01", "00 00 00", //                                                   . . IFLA_BRPORT_LEARNING
	u16(5), u16(9), "01", "00 00 00", //                                                   . . IFLA_BRPORT_UNICAST_FLOOD
	u16(5), u16(27), "01", "00 00 00", //                                                  . . IFLA_BRPORT_MCAST_FLOOD
	u16(5), u16(30), "01", "00 00 00", //                                                  . . IFLA_BRPORT_BCAST_FLOOD
	u16(5), u16(10), "00", "00 00 00", //                                                  . . IFLA_BRPORT_PROXYARP
	u16(5), u16(12), "00", "00 00 00", //                                                  . . IFLA_BRPORT_PROXYARP_WIFI
	u16(12), u16(13), "80 00 02 00 5e 00 00 01", //                                        . . IFLA_BRPORT_ROOT_ID
	u16(12), u16(14), "80 00 02 00 5e 00 00 01", //                                        . . IFLA_BRPORT_BRIDGE_ID
	u16(6), u16(15), "01 80", "00 00", //                                                  . . IFLA_BRPORT_DESIGNATED_PORT
	u16(6), u16(16), "00 00", "00 00", //                                                  . . IFLA_BRPORT_DESIGNATED_COST
	u16(6), u16(17), "01 80", "00 00", //                                                  . . IFLA_BRPORT_ID
	u16(6), u16(18), "01 00", "00 00", //                                                  . . IFLA_BRPORT_NO
	u16(5), u16(19), "00", "00 00 00", //                                                  . . IFLA_BRPORT_TOPOLOGY_CHANGE_ACK
	u16(5), u16(20), "00", "00 00 00", //                                                  . . IFLA_BRPORT_CONFIG_PENDING
	u16(5), u16(29), "00", "00 00 00", //                                                  . . IFLA_BRPORT_VLAN_TUNNEL
	u16(6), u16(31), "00 00", "00 00", //                                                  . . IFLA_BRPORT_GROUP_FWD_MASK
	u16(5), u16(32), "00", "00 00 00", //                                                  . . IFLA_BRPORT_NEIGH_SUPPRESS
	u16(5), u16(35), "00", "00 00 00", //                                                  . . IFLA_BRPORT_MRP_RING_OPEN
	u16(5), u16(36), "00", "00 00 00", //                                                  . . IFLA_BRPORT_MRP_IN_OPEN
	u16(5), u16(33), "00", "00 00 00", //                                                  . . IFLA_BRPORT_ISOLATED
	u16(5), u16(39), "00", "00 00 00", //                                                  . . IFLA_BRPORT_LOCKED
	u16(5), u16(40), "00", "00 00 00", //                                                  . . IFLA_BRPORT_MAB
	u16(5), u16(43), "00", "00 00 00", //                                                  . . IFLA_BRPORT_NEIGH_VLAN_SUPPRESS
	u16(12), u16(21), "00 00 00 00 00 00 00 00", //                                        . . IFLA_BRPORT_MESSAGE_AGE_TIMER
	u16(12), u16(22), "dc 05 00 00 00 00 00 00", //                                        . . IFLA_BRPORT_FORWARD_DELAY_TIMER
	u16(12), u16(23), "00 00 00 00 00 00 00 00", //                                        . . IFLA_BRPORT_HOLD_TIMER
	u16(5), u16(25), "01", "00 00 00", //                                                  . . IFLA_BRPORT_MULTICAST_ROUTER
	u16(8), u16(37), "00 02 00 00", //                                                     . . IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT
	u16(8), u16(38), "00 00 00 00", //                                                     . . IFLA_BRPORT_MCAST_EHT_HOSTS_CNT
	u16(8), u16(41), "00 00 00 00", //                                                     . . IFLA_BRPORT_MCAST_N_GROUPS
	u16(8), u16(42), "00 00 00 00", //                                                     . . IFLA_BRPORT_MCAST_MAX_GROUPS
	u16(8), u16(37), "00 00 00 00", //                                                     IFLA_LINK_NETNSID
	u16(8), u16(5), "02 00 00 00", //                                                      IFLA_LINK
	u16(12), u16(6), "6e 6f 71 75 65 75 65 00", //                                         IFLA_QDISC
	u16(448), u16(26), //                                                                  IFLA_AF_SPEC
	"8c 00 02 00 88 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 30 01 0a 00",
	"08 00 01 00 00 00 00 80 14 00 05 00 ff ff 00 00 7f 89 05 00 a8 a2 00 00",
	"e8 03 00 00 f4 00 02 00 00 00 00 00 40 00 00 00 78 05 00 00 01 00 00 00",
	"01 00 00 00 01 00 00 00 01 00 00 00 ff ff ff ff a0 0f 00 00 e8 03 00 00",
	"00 00 00 00 80 3a 09 00 80 51 01 00 03 00 00 00 58 02 00 00 10 00 00 00",
	"00 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 60 ea 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	"00 00 00 00 00 00 00 00 10 27 00 00 e8 03 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 00 00 00 00 80 ee 36 00 00 00 00 00 00 00 00 00",
	"01 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 04 00 00 00 00 00 00 ff ff 00 00 ff ff ff ff 01 00 00 00 00 00 00 00",
	"00 00 00 00 00 00 00 00 14 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00",
	"00 00 00 00 05 00 08 00 01 00 00 00",
	u16(36), u16(14), zeros(32), //                                                        IFLA_MAP
	u16(4), u16(0x8000|62), //                                                             IFLA_DEVLINK_PORT
	u16(4), u16(0x8000|65), //                                                             IFLA_DPLL_PIN
)

// capturedAddress is 172.16.0.100/24 of the bridge.
var capturedAddress = raw(
	"02 18 80 00", u32(2), //                                              struct ifaddrmsg
	u16(8), u16(1), "ac 10 00 64", //                                      IFA_ADDRESS
	u16(8), u16(2), "ac 10 00 64", //                                      IFA_LOCAL
	u16(8), u16(4), "ac 10 00 ff", //                                      IFA_BROADCAST
	u16(8), u16(3), "62 72 30 00", //                                      IFA_LABEL
	u16(8), u16(8), u32(0x80), //                                          IFA_FLAGS
	u16(20), u16(6), "ff ff ff ff ff ff ff ff 7e 89 05 00 7e 89 05 00", // IFA_CACHEINFO
)

// capturedPeerAddress is 10.0.0.1 of the bridge, with the peer 10.0.0.2/32.
var capturedPeerAddress = raw(
	"02 20 80 00", u32(2), //                                              struct ifaddrmsg
	u16(8), u16(1), "0a 00 00 02", //                                      IFA_ADDRESS
	u16(8), u16(2), "0a 00 00 01", //                                      IFA_LOCAL
	u16(8), u16(3), "62 72 30 00", //                                      IFA_LABEL
	u16(8), u16(8), u32(0x80), //                                          IFA_FLAGS
	u16(20), u16(6), "ff ff ff ff ff ff ff ff 7f 89 05 00 7f 89 05 00", // IFA_CACHEINFO
)

// capturedAddress6 is fd00::1/64 of the bridge.
var capturedAddress6 = raw(
	"0a 40 82 00", u32(2), //                                              struct ifaddrmsg
	u16(20), u16(1), "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01", // IFA_ADDRESS
	u16(20), u16(6), "ff ff ff ff ff ff ff ff 7e 89 05 00 7e 89 05 00", // IFA_CACHEINFO
	u16(8), u16(8), u32(0x82), //                                          IFA_FLAGS
)

// capturedNeighbour is 172.16.0.30, which has just answered.
var capturedNeighbour = raw(
	"02 00 00 00", u32(2), u16(2), "00 01", //                             struct ndmsg
	u16(8), u16(1), "ac 10 00 1e", //                                      NDA_DST
	u16(10), u16(2), "02 00 5e 00 00 02", "00 00", //                      NDA_LLADDR
	u16(8), u16(4), "04 00 00 00", //                                      NDA_PROBES
	u16(20), u16(3), "00 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00", // NDA_CACHEINFO
)

// capturedNeighbour6 is fd00::1e, which has just answered.
var capturedNeighbour6 = raw(
	"0a 00 00 00", u32(2), u16(2), "00 01", //                             struct ndmsg
	u16(20), u16(1), "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e", // NDA_DST
	u16(10), u16(2), "02 00 5e 00 00 02", "00 00", //                      NDA_LLADDR
	u16(8), u16(4), "04 00 00 00", //                                      NDA_PROBES
	u16(20), u16(3), "00 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00", // NDA_CACHEINFO
)

// capturedNobody is 172.16.0.31, which hasn't answered.
var capturedNobody = raw(
	"02 00 00 00", u32(2), u16(1), "00 01", //                             struct ndmsg
	u16(8), u16(1), "ac 10 00 1f", //                                      NDA_DST
	u16(8), u16(4), "04 00 00 00", //                                      NDA_PROBES
	u16(20), u16(3), "70 17 00 00 00 00 00 00 00 00 00 00 02 00 00 00", // NDA_CACHEINFO
)

// capturedForwarding is a bridge's entry for a hardware address.
var capturedForwarding = raw(
	"07 00 00 00", u32(3), u16(2), "00 00", //                             struct ndmsg
	u16(10), u16(2), "02 00 5e 00 00 02", "00 00", //                      NDA_LLADDR
	u16(8), u16(9), u32(2), //                                             NDA_MASTER
	u16(8), u16(15), "00 00 00 00", //                                     NDA_FLAGS_EXT
	u16(20), u16(3), "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", // NDA_CACHEINFO
)

// capturedRoute is the way to 192.0.2.1, of "192.0.2.0/24 via 172.16.0.30 mtu
// 1400".
var capturedRoute = raw(
	"02 20 00 00 fe 00 00 01", u32(0x200), // struct rtmsg
	u16(8), u16(15), "fe 00 00 00", //        RTA_TABLE
	u16(8), u16(1), "c0 00 02 01", //         RTA_DST
	u16(8), u16(4), u32(2), //                RTA_OIF
	u16(8), u16(7), "ac 10 00 64", //         RTA_PREFSRC
	u16(8), u16(5), "ac 10 00 1e", //         RTA_GATEWAY
	u16(12), u16(8), //                       RTA_METRICS
	u16(8), u16(2), u32(1400), //             . RTAX_MTU
	u16(8), u16(25), "00 00 00 00", //        RTA_UID
	u16(36), u16(12), "02 00 00 00", zeros(28), // RTA_CACHEINFO
)

// capturedRoute6 is the way to 2001:db8:2::1, of "2001:db8:2::/64 via fd00::1e
// mtu 1300".
var capturedRoute6 = raw(
	"0a 80 80 00 fe 03 00 01", u32(0), //                                  struct rtmsg
	u16(8), u16(15), "fe 00 00 00", //                                     RTA_TABLE
	u16(20), u16(1), "20 01 0d b8 00 02 00 00 00 00 00 00 00 00 00 01", // RTA_DST
	u16(20), u16(2), zeros(16), //                                         RTA_SRC
	u16(20), u16(7), "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 64", // RTA_PREFSRC
	u16(12), u16(8), //                                                    RTA_METRICS
	u16(8), u16(2), u32(1300), //                                          . RTAX_MTU
	u16(8), u16(6), "00 04 00 00", //                                      RTA_PRIORITY
	u16(20), u16(5), "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e", // RTA_GATEWAY
	u16(8), u16(4), u32(2), //                                             RTA_OIF
	u16(36), u16(12), "02 00 00 00", zeros(28), //                         RTA_CACHEINFO
	u16(5), u16(20), "00", "00 00 00", //                                  RTA_PREF
)

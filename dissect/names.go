//go:build linux

package dissect

import (
	"strconv"
	"strings"
)

// The tables below are text because that is the least there can be of them in
// the program: no pointers, no lengths, and each name without the prefix that
// it shares with its neighbours.
//
// A table is a name, the prefix (a dot for none), and the words, which count
// from 0; =N counts on from N. Lines that begin with a tab go on with the
// table above them. A word is the name of
//
//	an enum's or a flag's value    the bit's number, for a flag
//	an attribute                   and behind a colon what its value is
//	a field of a C struct          likewise, one behind the other
//	a message                      likewise, what is behind its header
//
// and what a value is:
//
//	u8 u16 u32 u64 s32     a number in the machine's byte order; s is signed
//	n8 n16 n32 n64 N32     a number in the network's; N is signed
//	…/enum …|flags         that is a name, or flags, of another table
//	                       (an attribute's own length tells how many bits)
//	string mac ip          what they are called
//	hex                    a number of any length
//	ip4 ip6                the same in a register, where it can be a prefix
//	data                   the content of a register
//	settype                the nft(8) datatypes of a set, 6 bits each
//	@table                 attributes
//	$table                 a C struct; $struct@table attributes behind it
//	[table                 numbers of 32 bits, each with its name; or attributes
//	%table                 nft(8)'s own attributes: a byte each type and length
//	?NAME/table-           attributes of either kind, of the table whose name ends with the
//	                       value that NAME had
//
// The numbers are the kernel's: include/uapi/linux. A table whose prefix is
// @other is another name of that one.
//
//nolint:misspell // "prefered" is how the kernel has it
const tables = `
nlmsg NLMSG_ =1 NOOP ERROR DONE OVERRUN
nlm_f- NLM_F_ REQUEST MULTI ACK ECHO DUMP_INTR DUMP_FILTERED
nlm_f-GET NLM_F_ =8 ROOT MATCH ATOMIC
nlm_f-NEW NLM_F_ =8 REPLACE EXCL CREATE APPEND
nlm_f-DEL NLM_F_ =8 NONREC BULK
nlm_f-ERROR NLM_F_ =8 CAPPED ACK_TLVS
nlmsgerr NLMSGERR_ATTR_ =1 MSG:string OFFS:u32 COOKIE POLICY:@policy MISS_TYPE:u32 MISS_NEST:u32
policy NL_POLICY_TYPE_ATTR_ =1 TYPE:u32/nl_attr_type MIN_VALUE_S:s64 MAX_VALUE_S:s64 MIN_VALUE_U:u64 MAX_VALUE_U:u64
	MIN_LENGTH:u32 MAX_LENGTH:u32 POLICY_IDX:u32 POLICY_MAXTYPE:u32 BITFIELD32_MASK:u32 PAD MASK:u64
nl_attr_type NL_ATTR_TYPE_ INVALID FLAG U8 U16 U32 U64 S8 S16 S32 S64 BINARY STRING NUL_STRING NESTED NESTED_ARRAY BITFIELD32

rtm RTM_ =16 NEWLINK:$ifinfomsg@link DELLINK:$ifinfomsg@link GETLINK:$ifinfomsg@link SETLINK:$ifinfomsg@link
	NEWADDR:$ifaddrmsg@addr DELADDR:$ifaddrmsg@addr GETADDR:$ifaddrmsg@addr
	=24 NEWROUTE:$rtmsg@route DELROUTE:$rtmsg@route GETROUTE:$rtmsg@route
	=28 NEWNEIGH:$ndmsg@neigh DELNEIGH:$ndmsg@neigh GETNEIGH:$ndmsg@neigh
	=32 NEWRULE DELRULE GETRULE =36 NEWQDISC DELQDISC GETQDISC =80 NEWNETCONF DELNETCONF GETNETCONF
	=88 NEWNSID DELNSID GETNSID
af AF_ UNSPEC =2 INET =7 BRIDGE =10 INET6 =17 PACKET

ifinfomsg . ifi_family:u8/af __ifi_pad:u8 ifi_type:u16/arphrd ifi_index:s32 ifi_flags:u32|iff ifi_change:u32|iff
iff IFF_ UP BROADCAST DEBUG LOOPBACK POINTOPOINT NOTRAILERS RUNNING NOARP PROMISC ALLMULTI MASTER SLAVE MULTICAST
	PORTSEL AUTOMEDIA DYNAMIC LOWER_UP DORMANT ECHO
arphrd ARPHRD_ =1 ETHER =512 PPP =768 TUNNEL TUNNEL6 =772 LOOPBACK =776 SIT =778 IPGRE =824 NETLINK
link IFLA_ =1 ADDRESS:mac BROADCAST:mac IFNAME:string MTU:u32 LINK:u32 QDISC:string STATS:$rtnl_link_stats COST
	PRIORITY MASTER:u32 WIRELESS PROTINFO:?ifi_family/protinfo- TXQLEN:u32 MAP:$rtnl_link_ifmap WEIGHT:u32
	OPERSTATE:u8/if_oper LINKMODE:u8/if_link_mode LINKINFO:@linkinfo NET_NS_PID:u32 IFALIAS:string NUM_VF:u32
	VFINFO_LIST STATS64:$rtnl_link_stats64 VF_PORTS PORT_SELF AF_SPEC:?ifi_family/af_spec- GROUP:u32 NET_NS_FD:u32
	EXT_MASK:u32|rtext_filter PROMISCUITY:u32 NUM_TX_QUEUES:u32 NUM_RX_QUEUES:u32 CARRIER:u8 PHYS_PORT_ID
	CARRIER_CHANGES:u32 PHYS_SWITCH_ID LINK_NETNSID:s32 PHYS_PORT_NAME:string PROTO_DOWN:u8 GSO_MAX_SEGS:u32
	GSO_MAX_SIZE:u32 PAD XDP:@xdp EVENT:u32 NEW_NETNSID:s32 TARGET_NETNSID:s32 CARRIER_UP_COUNT:u32
	CARRIER_DOWN_COUNT:u32 NEW_IFINDEX:s32 MIN_MTU:u32 MAX_MTU:u32 PROP_LIST:@link ALT_IFNAME:string PERM_ADDRESS:mac
	PROTO_DOWN_REASON PARENT_DEV_NAME:string PARENT_DEV_BUS_NAME:string GRO_MAX_SIZE:u32 TSO_MAX_SIZE:u32
	TSO_MAX_SEGS:u32 ALLMULTI:u32 DEVLINK_PORT GSO_IPV4_MAX_SIZE:u32 GRO_IPV4_MAX_SIZE:u32 DPLL_PIN
	MAX_PACING_OFFLOAD_HORIZON:u32 NETNS_IMMUTABLE:u8 HEADROOM:u16 TAILROOM:u16
if_oper IF_OPER_ UNKNOWN NOTPRESENT DOWN LOWERLAYERDOWN TESTING DORMANT UP
if_link_mode IF_LINK_MODE_ DEFAULT DORMANT TESTING
rtext_filter RTEXT_FILTER_ VF BRVLAN BRVLAN_COMPRESSED SKIP_STATS MRP CFM_CONFIG CFM_STATUS MST
xdp IFLA_XDP_ =1 FD:s32 ATTACHED:u8 FLAGS:u32 PROG_ID:u32 DRV_PROG_ID:u32 SKB_PROG_ID:u32 HW_PROG_ID:u32 EXPECTED_FD:u32
rtnl_link_stats . rx_packets:u32 tx_packets:u32 rx_bytes:u32 tx_bytes:u32 rx_errors:u32 tx_errors:u32 rx_dropped:u32
	tx_dropped:u32 multicast:u32 collisions:u32 rx_length_errors:u32 rx_over_errors:u32 rx_crc_errors:u32
	rx_frame_errors:u32 rx_fifo_errors:u32 rx_missed_errors:u32 tx_aborted_errors:u32 tx_carrier_errors:u32
	tx_fifo_errors:u32 tx_heartbeat_errors:u32 tx_window_errors:u32 rx_compressed:u32 tx_compressed:u32 rx_nohandler:u32
rtnl_link_stats64 . rx_packets:u64 tx_packets:u64 rx_bytes:u64 tx_bytes:u64 rx_errors:u64 tx_errors:u64 rx_dropped:u64
	tx_dropped:u64 multicast:u64 collisions:u64 rx_length_errors:u64 rx_over_errors:u64 rx_crc_errors:u64
	rx_frame_errors:u64 rx_fifo_errors:u64 rx_missed_errors:u64 tx_aborted_errors:u64 tx_carrier_errors:u64
	tx_fifo_errors:u64 tx_heartbeat_errors:u64 tx_window_errors:u64 rx_compressed:u64 tx_compressed:u64 rx_nohandler:u64
	rx_otherhost_dropped:u64
rtnl_link_ifmap . mem_start:u64 mem_end:u64 base_addr:u64 irq:u16 dma:u8 port:u8 __padding:u32
linkinfo IFLA_INFO_ =1 KIND:string DATA:?IFLA_INFO_KIND/info- XSTATS SLAVE_KIND:string SLAVE_DATA:?IFLA_INFO_SLAVE_KIND/port-
info-veth VETH_INFO_ =1 PEER:$ifinfomsg@link
info-bridge IFLA_BR_ =1 FORWARD_DELAY:u32 HELLO_TIME:u32 MAX_AGE:u32 AGEING_TIME:u32 STP_STATE:u32 PRIORITY:u16
	VLAN_FILTERING:u8 VLAN_PROTOCOL:n16/eth_p GROUP_FWD_MASK:u16 ROOT_ID:$ifla_bridge_id BRIDGE_ID:$ifla_bridge_id
	ROOT_PORT:u16 ROOT_PATH_COST:u32 TOPOLOGY_CHANGE:u8 TOPOLOGY_CHANGE_DETECTED:u8 HELLO_TIMER:u64 TCN_TIMER:u64
	TOPOLOGY_CHANGE_TIMER:u64 GC_TIMER:u64 GROUP_ADDR:mac FDB_FLUSH MCAST_ROUTER:u8 MCAST_SNOOPING:u8
	MCAST_QUERY_USE_IFADDR:u8 MCAST_QUERIER:u8 MCAST_HASH_ELASTICITY:u32 MCAST_HASH_MAX:u32 MCAST_LAST_MEMBER_CNT:u32
	MCAST_STARTUP_QUERY_CNT:u32 MCAST_LAST_MEMBER_INTVL:u64 MCAST_MEMBERSHIP_INTVL:u64 MCAST_QUERIER_INTVL:u64
	MCAST_QUERY_INTVL:u64 MCAST_QUERY_RESPONSE_INTVL:u64 MCAST_STARTUP_QUERY_INTVL:u64 NF_CALL_IPTABLES:u8
	NF_CALL_IP6TABLES:u8 NF_CALL_ARPTABLES:u8 VLAN_DEFAULT_PVID:u16 PAD VLAN_STATS_ENABLED:u8 MCAST_STATS_ENABLED:u8
	MCAST_IGMP_VERSION:u8 MCAST_MLD_VERSION:u8 VLAN_STATS_PER_PORT:u8 MULTI_BOOLOPT:$br_boolopt_multi
	MCAST_QUERIER_STATE FDB_N_LEARNED:u32 FDB_MAX_LEARNED:u32
ifla_bridge_id . prio:n16 addr:mac
br_boolopt_multi . optval:u32 optmask:u32
port-bridge IFLA_BRPORT_ =1 STATE:u8/br_state PRIORITY:u16 COST:u32 MODE:u8/bridge_mode GUARD:u8 PROTECT:u8
	FAST_LEAVE:u8 LEARNING:u8 UNICAST_FLOOD:u8 PROXYARP:u8 LEARNING_SYNC:u8 PROXYARP_WIFI:u8 ROOT_ID:$ifla_bridge_id
	BRIDGE_ID:$ifla_bridge_id DESIGNATED_PORT:u16 DESIGNATED_COST:u16 ID:u16 NO:u16 TOPOLOGY_CHANGE_ACK:u8
	CONFIG_PENDING:u8 MESSAGE_AGE_TIMER:u64 FORWARD_DELAY_TIMER:u64 HOLD_TIMER:u64 FLUSH MULTICAST_ROUTER:u8 PAD
	MCAST_FLOOD:u8 MCAST_TO_UCAST:u8 VLAN_TUNNEL:u8 BCAST_FLOOD:u8 GROUP_FWD_MASK:u16 NEIGH_SUPPRESS:u8 ISOLATED:u8
	BACKUP_PORT:u32 MRP_RING_OPEN:u8 MRP_IN_OPEN:u8 MCAST_EHT_HOSTS_LIMIT:u32 MCAST_EHT_HOSTS_CNT:u32 LOCKED:u8 MAB:u8
	MCAST_N_GROUPS:u32 MCAST_MAX_GROUPS:u32 NEIGH_VLAN_SUPPRESS:u8 BACKUP_NHID:u32
br_state BR_STATE_ DISABLED LISTENING LEARNING FORWARDING BLOCKING
bridge_mode BRIDGE_MODE_ UNSPEC HAIRPIN
protinfo-AF_BRIDGE @port-bridge
protinfo-AF_INET6 @inet6
af_spec-AF_UNSPEC AF_ =2 INET:@inet =7 BRIDGE =10 INET6:@inet6 =45 MCTP
af_spec-AF_BRIDGE IFLA_BRIDGE_ FLAGS:u16 MODE:u16 VLAN_INFO
inet IFLA_INET_ =1 CONF:[ipv4_devconf
ipv4_devconf IPV4_DEVCONF_ =1 FORWARDING:u32 MC_FORWARDING:u32 PROXY_ARP:u32 ACCEPT_REDIRECTS:u32 SECURE_REDIRECTS:u32
	SEND_REDIRECTS:u32 SHARED_MEDIA:u32 RP_FILTER:u32 ACCEPT_SOURCE_ROUTE:u32 BOOTP_RELAY:u32 LOG_MARTIANS:u32 TAG:u32
	ARPFILTER:u32 MEDIUM_ID:u32 NOXFRM:u32 NOPOLICY:u32 FORCE_IGMP_VERSION:u32 ARP_ANNOUNCE:u32 ARP_IGNORE:u32
	PROMOTE_SECONDARIES:u32 ARP_ACCEPT:u32 ARP_NOTIFY:u32 ACCEPT_LOCAL:u32 SRC_VMARK:u32 PROXY_ARP_PVLAN:u32
	ROUTE_LOCALNET:u32 IGMPV2_UNSOLICITED_REPORT_INTERVAL:u32 IGMPV3_UNSOLICITED_REPORT_INTERVAL:u32
	IGNORE_ROUTES_WITH_LINKDOWN:u32 DROP_UNICAST_IN_L2_MULTICAST:u32 DROP_GRATUITOUS_ARP:u32 BC_FORWARDING:u32
	ARP_EVICT_NOCARRIER:u32
inet6 IFLA_INET6_ =1 FLAGS:u32 CONF:[devconf STATS MCAST CACHEINFO:$ifla_cacheinfo ICMP6STATS TOKEN:ip
	ADDR_GEN_MODE:u8/in6_addr_gen_mode RA_MTU:u32
in6_addr_gen_mode IN6_ADDR_GEN_MODE_ EUI64 NONE STABLE_PRIVACY RANDOM
ifla_cacheinfo . max_reasm_len:u32 tstamp:u32 reachable_time:u32 retrans_time:u32
devconf DEVCONF_ FORWARDING HOPLIMIT MTU6 ACCEPT_RA ACCEPT_REDIRECTS AUTOCONF DAD_TRANSMITS RTR_SOLICITS
	RTR_SOLICIT_INTERVAL RTR_SOLICIT_DELAY USE_TEMPADDR TEMP_VALID_LFT TEMP_PREFERED_LFT REGEN_MAX_RETRY
	MAX_DESYNC_FACTOR MAX_ADDRESSES FORCE_MLD_VERSION ACCEPT_RA_DEFRTR ACCEPT_RA_PINFO ACCEPT_RA_RTR_PREF
	RTR_PROBE_INTERVAL ACCEPT_RA_RT_INFO_MAX_PLEN PROXY_NDP OPTIMISTIC_DAD ACCEPT_SOURCE_ROUTE MC_FORWARDING
	DISABLE_IPV6 ACCEPT_DAD FORCE_TLLAO NDISC_NOTIFY MLDV1_UNSOLICITED_REPORT_INTERVAL
	MLDV2_UNSOLICITED_REPORT_INTERVAL SUPPRESS_FRAG_NDISC ACCEPT_RA_FROM_LOCAL USE_OPTIMISTIC ACCEPT_RA_MTU
	STABLE_SECRET USE_OIF_ADDRS_ONLY ACCEPT_RA_MIN_HOP_LIMIT IGNORE_ROUTES_WITH_LINKDOWN DROP_UNICAST_IN_L2_MULTICAST
	DROP_UNSOLICITED_NA KEEP_ADDR_ON_DOWN RTR_SOLICIT_MAX_INTERVAL SEG6_ENABLED SEG6_REQUIRE_HMAC ENHANCED_DAD
	ADDR_GEN_MODE DISABLE_POLICY ACCEPT_RA_RT_INFO_MIN_PLEN NDISC_TCLASS RPL_SEG_ENABLED RA_DEFRTR_METRIC IOAM6_ENABLED
	IOAM6_ID IOAM6_ID_WIDE NDISC_EVICT_NOCARRIER ACCEPT_UNTRACKED_NA ACCEPT_RA_MIN_LFT FORCE_FORWARDING

ifaddrmsg . ifa_family:u8/af ifa_prefixlen:u8 ifa_flags:u8|ifa_f ifa_scope:u8/rt_scope ifa_index:u32
addr IFA_ =1 ADDRESS:ip LOCAL:ip LABEL:string BROADCAST:ip ANYCAST:ip CACHEINFO:$ifa_cacheinfo MULTICAST:ip
	FLAGS:u32|ifa_f RT_PRIORITY:u32 TARGET_NETNSID:s32 PROTO:u8/ifaprot
ifa_f IFA_F_ SECONDARY NODAD OPTIMISTIC DADFAILED HOMEADDRESS DEPRECATED TENTATIVE PERMANENT MANAGETEMPADDR
	NOPREFIXROUTE MCAUTOJOIN STABLE_PRIVACY
ifaprot IFAPROT_ UNSPEC KERNEL_LO KERNEL_RA KERNEL_LL
ifa_cacheinfo . ifa_prefered:u32 ifa_valid:u32 cstamp:u32 tstamp:u32

rtmsg . rtm_family:u8/af rtm_dst_len:u8 rtm_src_len:u8 rtm_tos:u8 rtm_table:u8/rt_table rtm_protocol:u8/rtprot
	rtm_scope:u8/rt_scope rtm_type:u8/rtn rtm_flags:u32|rtm_f
route RTA_ =1 DST:ip SRC:ip IIF:u32 OIF:u32 GATEWAY:ip PRIORITY:u32 PREFSRC:ip METRICS:@rtax MULTIPATH PROTOINFO
	FLOW:u32 CACHEINFO:$rta_cacheinfo SESSION MP_ALGO TABLE:u32/rt_table MARK:u32 MFC_STATS VIA NEWDST
	PREF:u8/route_pref ENCAP_TYPE:u16 ENCAP EXPIRES:u32 PAD UID:u32 TTL_PROPAGATE:u8 IP_PROTO:u8/ipproto SPORT:n16
	DPORT:n16 NH_ID:u32 FLOWLABEL:n32
rtax RTAX_ =1 LOCK:u32 MTU:u32 WINDOW:u32 RTT:u32 RTTVAR:u32 SSTHRESH:u32 CWND:u32 ADVMSS:u32 REORDERING:u32
	HOPLIMIT:u32 INITCWND:u32 FEATURES:u32 RTO_MIN:u32 INITRWND:u32 QUICKACK:u32 CC_ALGO:string FASTOPEN_NO_COOKIE:u32
rta_cacheinfo . rta_clntref:u32 rta_lastuse:u32 rta_expires:s32 rta_error:u32 rta_used:u32 rta_id:u32 rta_ts:u32
	rta_tsage:u32
rt_table RT_TABLE_ UNSPEC =252 COMPAT DEFAULT MAIN LOCAL
rt_scope RT_SCOPE_ UNIVERSE =200 SITE =253 LINK HOST NOWHERE
rtprot RTPROT_ UNSPEC REDIRECT KERNEL BOOT STATIC =9 RA =16 DHCP
rtn RTN_ UNSPEC UNICAST LOCAL BROADCAST ANYCAST MULTICAST BLACKHOLE UNREACHABLE PROHIBIT THROW NAT XRESOLVE
rtm_f . RTNH_F_DEAD RTNH_F_PERVASIVE RTNH_F_ONLINK RTNH_F_OFFLOAD RTNH_F_LINKDOWN RTNH_F_UNRESOLVED RTNH_F_TRAP
	=8 RTM_F_NOTIFY RTM_F_CLONED RTM_F_EQUALIZE RTM_F_PREFIX RTM_F_LOOKUP_TABLE RTM_F_FIB_MATCH RTM_F_OFFLOAD RTM_F_TRAP
	=29 RTM_F_OFFLOAD_FAILED
route_pref ICMPV6_ROUTER_PREF_ MEDIUM HIGH INVALID LOW

ndmsg . ndm_family:u8/af ndm_pad1:u8 ndm_pad2:u16 ndm_ifindex:s32 ndm_state:u16|nud ndm_flags:u8|ntf ndm_type:u8/rtn
neigh NDA_ =1 DST:ip LLADDR:mac CACHEINFO:$nda_cacheinfo PROBES:u32 VLAN:u16 PORT:n16 VNI:u32 IFINDEX:u32 MASTER:u32
	LINK_NETNSID:s32 SRC_VNI:u32 PROTOCOL:u8/rtprot NH_ID:u32 FDB_EXT_ATTRS FLAGS_EXT:u32 NDM_STATE_MASK:u16
	NDM_FLAGS_MASK:u8
nud NUD_ INCOMPLETE REACHABLE STALE DELAY PROBE FAILED NOARP PERMANENT
ntf NTF_ USE SELF MASTER PROXY EXT_LEARNED OFFLOADED STICKY ROUTER
nda_cacheinfo . ndm_confirmed:u32 ndm_used:u32 ndm_updated:u32 ndm_refcnt:u32

nfgenmsg . nfgen_family:u8/nfproto version:u8/nfnetlink_v res_id:n16/res_id
res_id-NFNL_MSG_BATCH_BEGIN @nfnl_subsys
res_id-NFNL_MSG_BATCH_END @nfnl_subsys
nfproto NFPROTO_ UNSPEC INET IPV4 ARP =5 NETDEV =7 BRIDGE =10 IPV6
nfnetlink_v NFNETLINK_ V0
nfnl_subsys NFNL_SUBSYS_ NONE CTNETLINK:ct CTNETLINK_EXP QUEUE ULOG OSF IPSET ACCT CTNETLINK_TIMEOUT CTHELPER NFTABLES:nft
	NFT_COMPAT:compat HOOK
nfnl_msg NFNL_MSG_ =16 BATCH_BEGIN:@batch BATCH_END:@batch
batch NFNL_BATCH_ =1 GENID:n32

nft NFT_MSG_ NEWTABLE:@table GETTABLE:@table DELTABLE:@table NEWCHAIN:@chain GETCHAIN:@chain DELCHAIN:@chain
	NEWRULE:@rule GETRULE:@rule DELRULE:@rule NEWSET:@set GETSET:@set DELSET:@set NEWSETELEM:@elements
	GETSETELEM:@elements DELSETELEM:@elements NEWGEN:@gen GETGEN:@gen TRACE NEWOBJ GETOBJ DELOBJ GETOBJ_RESET
	NEWFLOWTABLE GETFLOWTABLE DELFLOWTABLE GETRULE_RESET:@rule DESTROYTABLE:@table DESTROYCHAIN:@chain DESTROYRULE:@rule
	DESTROYSET:@set DESTROYSETELEM:@elements DESTROYOBJ DESTROYFLOWTABLE GETSETELEM_RESET:@elements
gen NFTA_GEN_ =1 ID:n32 PROC_PID:n32 PROC_NAME:string
table NFTA_TABLE_ =1 NAME:string FLAGS:n32|table_f USE:n32 HANDLE:n64 PAD USERDATA:%set_udata OWNER:n32
table_f NFT_TABLE_F_ DORMANT OWNER PERSIST
chain NFTA_CHAIN_ =1 TABLE:string HANDLE:n64 NAME:string HOOK:@hook POLICY:N32/verdict USE:n32 TYPE:string
	COUNTERS:@expr-counter PAD FLAGS:n32|chain_f ID:n32 USERDATA
chain_f NFT_CHAIN_ BASE HW_OFFLOAD BINDING
hook NFTA_HOOK_ =1 HOOKNUM:n32/nf_inet PRIORITY:N32 DEV:string DEVS:@device
device NFTA_DEVICE_ =1 NAME:string PREFIX:string
nf_inet NF_INET_ PRE_ROUTING LOCAL_IN FORWARD LOCAL_OUT POST_ROUTING INGRESS
nf_inet-NFPROTO_NETDEV NF_NETDEV_ INGRESS EGRESS
rule NFTA_RULE_ =1 TABLE:string CHAIN:string HANDLE:n64 EXPRESSIONS:@exprs COMPAT:@rule_compat POSITION:n64
	USERDATA:%rule_udata PAD ID:n32 POSITION_ID:n32 CHAIN_ID:n32
rule_compat NFTA_RULE_COMPAT_ =1 PROTO:n32/ipproto FLAGS:n32
rule_udata NFTNL_UDATA_RULE_ COMMENT:string EBTABLES_POLICY:u32
set NFTA_SET_ =1 TABLE:string NAME:string FLAGS:n32|set_f KEY_TYPE:settype KEY_LEN:n32 DATA_TYPE:settype DATA_LEN:n32
	POLICY:n32/set_pol DESC:@set_desc ID:n32 TIMEOUT:n64 GC_INTERVAL:n32 USERDATA:%set_udata PAD OBJ_TYPE:n32 HANDLE:n64
	EXPR:@expr EXPRESSIONS:@exprs TYPE:string COUNT:n32
set_f NFT_SET_ ANONYMOUS CONSTANT INTERVAL MAP TIMEOUT EVAL OBJECT CONCAT EXPR
set_pol NFT_SET_POL_ PERFORMANCE MEMORY
set_desc NFTA_SET_DESC_ =1 SIZE:n32 CONCAT:@set_fields
set_fields NFTA_LIST_ =1 ELEM:@set_field
set_field NFTA_SET_FIELD_ =1 LEN:n32
set_udata NFTNL_UDATA_SET_ KEYBYTEORDER:u32/byteorder DATABYTEORDER:u32/byteorder MERGE_ELEMENTS:u32
	KEY_TYPEOF:%typeof_udata DATA_TYPEOF:%typeof_udata
	EXPR DATA_INTERVAL:u32 COMMENT:string
typeof_udata NFTNL_UDATA_SET_TYPEOF_ EXPR:u32/expr_udata DATA:?NFTNL_UDATA_SET_TYPEOF_EXPR/typeof_udata-
expr_udata EXPR_ =7 PAYLOAD =9 META =13 CONCAT
typeof_udata-EXPR_CONCAT NFTNL_UDATA_SET_KEY_CONCAT_NEST _0:%typeof_udata _1:%typeof_udata _2:%typeof_udata _3:%typeof_udata
typeof_udata-EXPR_META NFTNL_UDATA_META_ KEY:u32/meta
typeof_udata-EXPR_PAYLOAD NFTNL_UDATA_SET_KEY_PAYLOAD_ DESC:u32 TYPE:u32 BASE:u32/base_udata OFFSET:u32 LEN:u32
base_udata PROTO_BASE_ INVALID LL_HDR NETWORK_HDR TRANSPORT_HDR INNER_HDR
byteorder BYTEORDER_ INVALID HOST_ENDIAN BIG_ENDIAN
elements NFTA_SET_ELEM_LIST_ =1 TABLE:string SET:string ELEMENTS:@element_list SET_ID:n32
element_list NFTA_LIST_ =1 ELEM:@element
element NFTA_SET_ELEM_ =1 KEY:@data DATA:@data FLAGS:n32|set_elem_f TIMEOUT:n64 EXPIRATION:n64 USERDATA:%elem_udata EXPR:@expr
	PAD OBJREF:string KEY_END:@data EXPRESSIONS:@exprs
set_elem_f NFT_SET_ELEM_ INTERVAL_END CATCHALL
elem_udata NFTNL_UDATA_SET_ELEM_ COMMENT:string FLAGS:u32
data NFTA_DATA_ =1 VALUE:data VERDICT:@verdict_data
verdict_data NFTA_VERDICT_ =1 CODE:N32/verdict CHAIN:string CHAIN_ID:n32
verdict . NF_DROP NF_ACCEPT NF_STOLEN NF_QUEUE NF_REPEAT =-5 NFT_RETURN NFT_GOTO NFT_JUMP NFT_BREAK NFT_CONTINUE
datatype . =2 nf_proto:u8/nfproto =4 integer:hex =7 ipv4_addr:ip4 ipv6_addr:ip6 ether_addr:mac ether_type:n16/eth_p
	=12 inet_proto:u8/ipproto inet_service:n16 =19 mark:u32 iface_index:u32 =26 ct_state:u32|ct_state =28 ct_status:u32|ips
	=38 fib_addrtype:u32/rtn =41 ifname:string

exprs NFTA_LIST_ =1 ELEM:@expr
expr NFTA_EXPR_ =1 NAME:string DATA:?NFTA_EXPR_NAME/expr-
reg NFT_REG _VERDICT _1 _2 _3 _4 =8 32_00 32_01 32_02 32_03 32_04 32_05 32_06 32_07 32_08 32_09 32_10 32_11 32_12 32_13 32_14 32_15
expr-meta NFTA_META_ =1 DREG:n32/reg KEY:n32/meta SREG:n32/reg
meta NFT_META_ LEN:u32 PROTOCOL:n16/eth_p PRIORITY:u32 MARK:u32 IIF:u32 OIF:u32 IIFNAME:string OIFNAME:string
	IIFTYPE:u16/arphrd OIFTYPE:u16/arphrd SKUID:u32 SKGID:u32 NFTRACE:u8 RTCLASSID:u32 SECMARK:u32 NFPROTO:u8/nfproto
	L4PROTO:u8/ipproto BRI_IIFNAME:string BRI_OIFNAME:string PKTTYPE:u8 CPU:u32 IIFGROUP:u32 OIFGROUP:u32 CGROUP:u32
	PRANDOM:u32 SECPATH:u8 IIFKIND:string OIFKIND:string BRI_IIFPVID:u16 BRI_IIFVPROTO:n16/eth_p TIME_NS TIME_DAY TIME_HOUR
	SDIF:u32 SDIFNAME:string BRI_BROUTE
expr-cmp NFTA_CMP_ =1 SREG:n32/reg OP:n32/cmp DATA:@data
cmp NFT_CMP_ EQ NEQ LT LTE GT GTE
expr-range NFTA_RANGE_ =1 SREG:n32/reg OP:n32/cmp FROM_DATA:@data TO_DATA:@data
expr-payload NFTA_PAYLOAD_ =1 DREG:n32/reg BASE:n32/payload OFFSET:n32 LEN:n32 SREG:n32/reg CSUM_TYPE:n32 CSUM_OFFSET:n32
	CSUM_FLAGS:n32
payload NFT_PAYLOAD_ LL_HEADER NETWORK_HEADER TRANSPORT_HEADER INNER_HEADER
expr-lookup NFTA_LOOKUP_ =1 SET:string SREG:n32/reg DREG:n32/reg SET_ID:n32 FLAGS:n32|lookup_f
lookup_f NFT_LOOKUP_F_ INV
expr-dynset NFTA_DYNSET_ =1 SET_NAME:string SET_ID:n32 OP:n32/dynset_op SREG_KEY:n32/reg SREG_DATA:n32/reg TIMEOUT:n64
	EXPR:@expr PAD FLAGS:n32|dynset_f EXPRESSIONS:@exprs
dynset_op NFT_DYNSET_OP_ ADD UPDATE DELETE
dynset_f NFT_DYNSET_F_ INV EXPR
expr-immediate NFTA_IMMEDIATE_ =1 DREG:n32/reg DATA:@data
expr-bitwise NFTA_BITWISE_ =1 SREG:n32/reg DREG:n32/reg LEN:n32 MASK:@data XOR:@data OP:n32/bitwise DATA:@data SREG2:n32/reg
bitwise NFT_BITWISE_ MASK_XOR LSHIFT RSHIFT AND OR XOR
expr-byteorder NFTA_BYTEORDER_ =1 SREG:n32/reg DREG:n32/reg OP:n32/byteorder_op LEN:n32 SIZE:n32
byteorder_op NFT_BYTEORDER_ NTOH HTON
expr-ct NFTA_CT_ =1 DREG:n32/reg KEY:n32/ct_key DIRECTION:u8 SREG:n32/reg
ct_key NFT_CT_ STATE:u32|ct_state DIRECTION:u8 STATUS:u32|ips MARK:u32 SECMARK:u32 EXPIRATION:u32 HELPER:string
	L3PROTOCOL:u8/nfproto SRC DST PROTOCOL:u8/ipproto PROTO_SRC:n16 PROTO_DST:n16 LABELS PKTS:u64 BYTES:u64 AVGPKT:u64
	ZONE:u16 EVENTMASK:u32 SRC_IP:ip4 DST_IP:ip4 SRC_IP6:ip6 DST_IP6:ip6 ID:u32
ct_state . NF_CT_STATE_INVALID_BIT NF_CT_STATE_BIT(IP_CT_ESTABLISHED) NF_CT_STATE_BIT(IP_CT_RELATED)
	NF_CT_STATE_BIT(IP_CT_NEW) =6 NF_CT_STATE_UNTRACKED_BIT
expr-fib NFTA_FIB_ =1 DREG:n32/reg RESULT:n32/fib_result FLAGS:n32|fib_f
fib_result NFT_FIB_RESULT_ UNSPEC OIF:u32 OIFNAME:string ADDRTYPE:u32/rtn
fib_f NFTA_FIB_F_ SADDR DADDR MARK IIF OIF PRESENT
expr-nat NFTA_NAT_ =1 TYPE:n32/nat FAMILY:n32/nfproto REG_ADDR_MIN:n32/reg REG_ADDR_MAX:n32/reg REG_PROTO_MIN:n32/reg
	REG_PROTO_MAX:n32/reg FLAGS:n32|nat_range
nat NFT_NAT_ SNAT DNAT
nat_range NF_NAT_RANGE_ MAP_IPS PROTO_SPECIFIED PROTO_RANDOM PERSISTENT PROTO_RANDOM_FULLY PROTO_OFFSET NETMAP
expr-masq NFTA_MASQ_ =1 FLAGS:n32|nat_range REG_PROTO_MIN:n32/reg REG_PROTO_MAX:n32/reg
expr-redir NFTA_REDIR_ =1 REG_PROTO_MIN:n32/reg REG_PROTO_MAX:n32/reg FLAGS:n32|nat_range
expr-counter NFTA_COUNTER_ =1 BYTES:n64 PACKETS:n64 PAD
expr-limit NFTA_LIMIT_ =1 RATE:n64 UNIT:n64 BURST:n32 TYPE:n32 FLAGS:n32
expr-log NFTA_LOG_ =1 GROUP:n16 PREFIX:string SNAPLEN:n32 QTHRESHOLD:n16 LEVEL:n32 FLAGS:n32
expr-reject NFTA_REJECT_ =1 TYPE:n32/reject ICMP_CODE:u8
reject NFT_REJECT_ ICMP_UNREACH TCP_RST ICMPX_UNREACH
expr-exthdr NFTA_EXTHDR_ =1 DREG:n32/reg TYPE:u8 OFFSET:n32 LEN:n32 FLAGS:n32 OP:n32 SREG:n32/reg
expr-match NFTA_MATCH_ =1 NAME:string REV:n32 INFO
expr-target NFTA_TARGET_ =1 NAME:string REV:n32 INFO
compat NFNL_MSG_COMPAT_ GET:@compat_get
compat_get NFTA_COMPAT_ =1 NAME:string REV:n32 TYPE:n32

ct IPCTNL_MSG_CT_ NEW:@cta GET:@cta DELETE:@cta GET_CTRZERO:@cta GET_STATS_CPU GET_STATS:@ct_stats GET_DYING:@cta GET_UNCONFIRMED:@cta
ct_stats CTA_STATS_GLOBAL_ =1 ENTRIES:n32 MAX_ENTRIES:n32
cta CTA_ =1 TUPLE_ORIG:@tuple TUPLE_REPLY:@tuple STATUS:n32|ips PROTOINFO:@protoinfo HELP:@help NAT_SRC:@cta_nat TIMEOUT:n32
	MARK:n32 COUNTERS_ORIG:@counters COUNTERS_REPLY:@counters USE:n32 ID:n32 NAT_DST:@cta_nat TUPLE_MASTER:@tuple
	SEQ_ADJ_ORIG:@seqadj SEQ_ADJ_REPLY:@seqadj SECMARK:n32 ZONE:n16 SECCTX:@secctx TIMESTAMP:@timestamp MARK_MASK:n32 LABELS
	LABELS_MASK SYNPROXY:@synproxy FILTER:@cta_filter STATUS_MASK:n32|ips TIMESTAMP_EVENT:n64
tuple CTA_TUPLE_ =1 IP:@cta_ip PROTO:@cta_proto ZONE:n16
cta_ip CTA_IP_ =1 V4_SRC:ip V4_DST:ip V6_SRC:ip V6_DST:ip
cta_proto CTA_PROTO_ =1 NUM:u8/ipproto SRC_PORT:n16 DST_PORT:n16 ICMP_ID:n16 ICMP_TYPE:u8 ICMP_CODE:u8 ICMPV6_ID:n16
	ICMPV6_TYPE:u8 ICMPV6_CODE:u8
ips IPS_ EXPECTED SEEN_REPLY ASSURED CONFIRMED SRC_NAT DST_NAT SEQ_ADJUST SRC_NAT_DONE DST_NAT_DONE DYING FIXED_TIMEOUT
	TEMPLATE UNTRACKED HELPER OFFLOAD HW_OFFLOAD
protoinfo CTA_PROTOINFO_ =1 TCP:@protoinfo_tcp DCCP SCTP:@protoinfo_sctp
protoinfo_tcp CTA_PROTOINFO_TCP_ =1 STATE:u8/tcp_conntrack WSCALE_ORIGINAL:u8 WSCALE_REPLY:u8
	FLAGS_ORIGINAL:$nf_ct_tcp_flags FLAGS_REPLY:$nf_ct_tcp_flags
tcp_conntrack TCP_CONNTRACK_ NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2
nf_ct_tcp_flags . flags:u8|ip_ct_tcp_flag mask:u8|ip_ct_tcp_flag
ip_ct_tcp_flag IP_CT_ TCP_FLAG_WINDOW_SCALE TCP_FLAG_SACK_PERM TCP_FLAG_CLOSE_INIT TCP_FLAG_BE_LIBERAL
	TCP_FLAG_DATA_UNACKNOWLEDGED TCP_FLAG_MAXACK_SET EXP_CHALLENGE_ACK TCP_SIMULTANEOUS_OPEN
protoinfo_sctp CTA_PROTOINFO_SCTP_ =1 STATE:u8 VTAG_ORIGINAL:n32 VTAG_REPLY:n32
help CTA_HELP_ =1 NAME:string INFO
cta_nat CTA_NAT_ =1 V4_MINIP:ip V4_MAXIP:ip PROTO:@protonat V6_MINIP:ip V6_MAXIP:ip
protonat CTA_PROTONAT_ =1 PORT_MIN:n16 PORT_MAX:n16
counters CTA_COUNTERS_ =1 PACKETS:n64 BYTES:n64
seqadj CTA_SEQADJ_ =1 CORRECTION_POS:n32 OFFSET_BEFORE:n32 OFFSET_AFTER:n32
secctx CTA_SECCTX_ =1 NAME:string
timestamp CTA_TIMESTAMP_ =1 START:n64 STOP:n64 PAD
synproxy CTA_SYNPROXY_ =1 ISN:n32 ITS:n32 TSOFF:n32
cta_filter CTA_FILTER_ =1 ORIG_FLAGS:u32 REPLY_FLAGS:u32

errno E =1 PERM NOENT SRCH INTR IO NXIO 2BIG NOEXEC BADF CHILD AGAIN NOMEM ACCES FAULT NOTBLK BUSY EXIST XDEV NODEV NOTDIR
	ISDIR INVAL NFILE MFILE NOTTY TXTBSY FBIG NOSPC SPIPE ROFS MLINK PIPE DOM RANGE
ipproto IPPROTO_ IP ICMP IGMP =6 TCP =17 UDP =33 DCCP =58 ICMPV6 =132 SCTP =136 UDPLITE
eth_p ETH_P_ =2048 IP =2054 ARP =33024 8021Q =34525 IPV6
`

// table is one of tables, or what is left of one that is being read.
type table struct {
	prefix, words string
	n             int // the next word's
}

// tableOf is the table of a name: an empty one, which knows no names, if there
// is none.
func tableOf(name string) table {
	_, rest, _ := strings.Cut(tables, "\n"+name+" ")
	for i := range rest {
		if rest[i] == '\n' && !strings.HasPrefix(rest[i:], "\n\t") {
			rest = rest[:i]
			break
		}
	}
	prefix, words, _ := strings.Cut(rest, " ")
	if other, ok := strings.CutPrefix(prefix, "@"); ok {
		return tableOf(other)
	}
	if prefix == "." {
		prefix = ""
	}
	return table{prefix: prefix, words: words}
}

// entry is a word of a table.
type entry struct {
	n    int
	name string // with the prefix
	typ  string
}

// next takes the first word. It is not ok if there is none.
func (t *table) next() (e entry, ok bool) {
	const space = " \n\t"
	for {
		t.words = strings.TrimLeft(t.words, space)
		end := strings.IndexAny(t.words, space)
		if end < 0 {
			end = len(t.words)
		}
		word := t.words[:end]
		t.words = t.words[end:]
		if word == "" {
			return entry{}, false
		}
		if word[0] == '=' {
			t.n, _ = strconv.Atoi(word[1:]) // TestTables reads them all
			continue
		}
		t.n++
		name, typ, _ := strings.Cut(word, ":")
		return entry{t.n - 1, t.prefix + name, typ}, true
	}
}

// entryAt is the word of a number in a table.
func entryAt(table string, n int) (entry, bool) {
	t := tableOf(table)
	for {
		if e, ok := t.next(); !ok || e.n == n {
			return e, ok
		}
	}
}

// entryNamed is the word of a name in a table.
func entryNamed(table, name string) entry {
	t := tableOf(table)
	for {
		if e, ok := t.next(); !ok || e.name == name {
			return e
		}
	}
}

// flags is the names in a table of the bits that are set.
func flags(table string, v uint64) string {
	if v == 0 {
		return "0"
	}
	if v == 1<<32-1 {
		return "0xffffffff" // all there are and may be, as a mask often has it
	}
	s := ""
	t := tableOf(table)
	for e, ok := t.next(); ok; e, ok = t.next() {
		if v>>e.n&1 != 0 {
			s += "|" + e.name
			v &^= 1 << e.n
		}
	}
	if v != 0 {
		s += "|0x" + strconv.FormatUint(v, 16)
	}
	return s[1:]
}

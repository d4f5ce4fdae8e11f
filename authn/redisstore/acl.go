package redisstore

// Commands are what a [Store] needs on a single server or behind Sentinel.
// HELLO and AUTH are open to everybody in Redis; CLIENT is not used.
const Commands = "+ping +get +getex +set +del +lrem +lpushx +rpush +ltrim +lrange +pexpire +multi +exec"

// ClusterCommands are needed besides on a cluster.
const ClusterCommands = "+cluster|slots +cluster|shards +command"

// ACL is the least that the gateway's Redis user may do, in the form of ACL
// SETUSER, for the default prefix:
//
//	ACL SETUSER gateway on >PASSWORD <ACL>
//
// Nothing more is good: [Store.SelfTest] complains about a user that may empty the
// database, list its keys or change the server's settings.
const ACL = "resetkeys ~" + DefaultPrefix + "* resetchannels -@all " + Commands

// ACLFor is [ACL] for another prefix, a cluster, or a store that keeps documents.
func ACLFor(prefix string, cluster, documents bool) string {
	acl := "resetkeys ~" + prefix + "* resetchannels -@all " + Commands
	if documents {
		acl += " " + DocumentCommands
	}
	if cluster {
		acl += " " + ClusterCommands
	}
	return acl
}

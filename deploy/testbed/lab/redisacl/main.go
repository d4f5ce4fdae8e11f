// Command redisacl prints the rules that the testbed gives to the Redis user of
// the session store, so that the tests run with exactly the rights that the
// documentation asks an administrator for.
package main

import "fmt"

// rules are the rights of the session store's user.
const rules = "resetkeys ~sallyport:* resetchannels -@all +@read +@write +@connection +@scripting -@dangerous +info"

func main() { fmt.Println(rules) }

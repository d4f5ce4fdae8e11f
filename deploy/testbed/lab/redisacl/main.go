// Command redisacl prints the rules that the testbed gives to the Redis user of
// the session store, which keeps the signing keys too, so that the tests run with
// exactly the rights that the documentation asks an administrator for.
package main

import (
	"fmt"

	"sallyport/authn/redisstore"
)

func main() { fmt.Println(redisstore.ACLFor(redisstore.DefaultPrefix, false, true)) }

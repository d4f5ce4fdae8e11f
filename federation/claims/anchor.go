package claims

import (
	"fmt"

	"sallyport/authn"
)

// AnchorWarning says what is odd about an account's mS-DS-ConsistencyGuid, empty
// when nothing is: scripts have been seen that write a GUID as text, or half of
// one (CASES C15). The value is used as it stands all the same, since Entra
// Connect did so too.
func AnchorWarning(acc *authn.Account) string {
	raw := acc.ConsistencyGUID
	switch {
	case len(raw) == 0 || len(raw) == len(acc.ID):
		return ""
	case looksLikeGUID(raw):
		return fmt.Sprintf("mS-DS-ConsistencyGuid holds a GUID written as text (%d bytes) instead of its 16 bytes; "+
			"the ImmutableID is made of that text", len(raw))
	default:
		return fmt.Sprintf("mS-DS-ConsistencyGuid has %d bytes instead of 16; the ImmutableID is made of them as they are", len(raw))
	}
}

func looksLikeGUID(raw []byte) bool {
	if _, err := authn.ParseGUID(string(raw)); err == nil {
		return true
	}
	if len(raw) != 32 {
		return false
	}
	for _, c := range raw {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

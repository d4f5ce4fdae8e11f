package saml

// CheckURL returns what is wrong with an address that a message may be sent to, nil
// when nothing is: it is https, absolute and can be read in one way only.
func CheckURL(raw string) error { return checkURL(raw) }

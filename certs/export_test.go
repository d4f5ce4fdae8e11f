package certs

// ParseKey lets the fuzz target reach the parser.
var ParseKey = parseKey

package certs

import "sallyport/certs/internal/pemkey"

// ParseKey lets the fuzz target reach the parser.
var ParseKey = pemkey.Parse

package domain

// DecodeAny reads an answer as every caller does: all readers at once.
func DecodeAny(data []byte) (map[string]any, *Federation, *Domain, error) {
	o, err := decodeObject(data)
	if err != nil {
		return nil, nil, nil, err
	}
	f, _ := readFederation(o)
	var dom *Domain
	if d, err := readDomain(o); err == nil {
		dom = &d
	}
	return o, f, dom, nil
}

// GraphError reads an error's body.
func GraphError(body []byte) *Error {
	return graphError("GET /x", 400, body, func(s string) string { return s })
}

// TokenError reads a token endpoint's error body.
func TokenError(body []byte) *Error {
	return tokenError(400, body, func(s string) string { return s })
}

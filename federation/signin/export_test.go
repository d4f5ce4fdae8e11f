package signin

import (
	"sallyport/authn"
	"sallyport/federation"
)

// Verdict is what a person is told of an attempt.
func Verdict(res *authn.Result) (federation.Problem, bool) { return verdict(res) }

// SplitTransaction parses a transaction's plaintext and writes it again.
func SplitTransaction(b []byte) (again []byte, req federation.SignInRequest, err error) {
	t, err := parseTransaction(b)
	if err != nil {
		return nil, federation.SignInRequest{}, err
	}
	return t.encode(nil), t.req, nil
}

// PlainTransaction is the plaintext of a transaction for a request.
func PlainTransaction(req *federation.SignInRequest) []byte {
	return (&transaction{req: *req}).encode(nil)
}

// ParseForm reads our form; nil fields for what is not there.
func ParseForm(raw []byte) (fields map[string]string, err error) {
	f := &form{password: authn.NewPassword(nil)}
	if err := f.parse(raw); err != nil {
		return nil, err
	}
	return map[string]string{
		"t": f.token, "action": f.action, "lang": f.language, "username": f.name, "password": string(f.password.Bytes()),
	}, nil
}

// LoopCookie is the name of the cookie that counts tokens.
const LoopCookie = loopCookie

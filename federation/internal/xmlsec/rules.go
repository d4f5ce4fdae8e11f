package xmlsec

import (
	"errors"
	"fmt"
)

// Rules say what the gate lets through beyond well-formedness. Use [Message] or
// [Imported]; a zero limit allows nothing.
type Rules struct {
	// MaxBytes bounds the document before anything else is looked at.
	MaxBytes int
	// MaxDepth and MaxElements bound the tree.
	MaxDepth    int
	MaxElements int
	// MaxAttributes bounds the attributes of one element, declarations of
	// namespaces included.
	MaxAttributes int
	// MaxScope bounds the namespace declarations that hold at one place,
	// MaxDeclarations those of the whole document. Canonicalisation costs depth
	// times scope.
	MaxScope        int
	MaxDeclarations int
	// MaxText bounds one attribute value and one run of character data between
	// two tags, in bytes as sent.
	MaxText int
	// Comments lets comments pass anywhere, and processing instructions pass
	// outside the root element; both are gone from the tree, so that the text on
	// both sides of a comment is one text.
	Comments bool
}

// Message returns the rules for a protocol message of at most max bytes: 64 KiB
// for SAML, 128 KiB for SOAP. No comments, no processing instructions.
func Message(max int) Rules {
	return Rules{
		MaxBytes: max, MaxDepth: 32, MaxElements: 2000, MaxAttributes: 64, MaxScope: 64, MaxDeclarations: 64, MaxText: 16 << 10,
	}
}

// Imported returns the rules for one EntityDescriptor of a relying party's
// metadata that an admin imports. Metadata as AD FS writes it declares a prefix
// again in each of hundreds of elements, so only the declarations that hold at one
// place are held as tightly as in messages.
func Imported() Rules {
	r := Message(2 << 20)
	r.MaxDeclarations, r.Comments = 2000, true
	return r
}

// What the gate refuses a document for; targets of errors.Is.
var (
	// ErrMalformed: not well-formed, or not namespace-well-formed, or not UTF-8.
	ErrMalformed = errors.New("not well-formed XML")
	// ErrDoctype: a document type declaration, in whatever place.
	ErrDoctype = errors.New("document type declaration")
	// ErrLimit: larger than the rules allow.
	ErrLimit = errors.New("beyond a limit")
	// ErrForbidden: well-formed but not allowed here: comments, processing
	// instructions, ids that are doubled or ambiguous.
	ErrForbidden = errors.New("not allowed")
)

// GateError tells what the gate found and where. Its text holds nothing of the
// document.
type GateError struct {
	// Kind is one of the errors above.
	Kind error
	// Offset is the place in the document, in bytes.
	Offset int
	// Detail says what it was.
	Detail string
}

// Error implements error.
func (e *GateError) Error() string {
	return fmt.Sprintf("xmlsec: %v at byte %d: %s", e.Kind, e.Offset, e.Detail)
}

// Unwrap returns the kind.
func (e *GateError) Unwrap() error { return e.Kind }

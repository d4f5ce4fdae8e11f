package xmlsec

import (
	"fmt"

	"github.com/beevik/etree"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Part returns an element of d as a document of its own, for a message that
// travels inside another (SOAP). The element is written in its exclusive canonical
// form and read anew, so that what is declared around it and not used in it plays
// no part; a signature in it that covers it verifies as it did, unless it names
// prefixes that only the surroundings declare.
func (d *Document) Part(e *etree.Element) (*Document, error) {
	ctx, err := etreeutils.NSBuildParentContext(e)
	if err != nil {
		return nil, fmt.Errorf("xmlsec: %w", err)
	}
	alone, err := etreeutils.NSDetatch(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("xmlsec: %w", err)
	}
	b, err := canonicalise(alone, "")
	if err != nil {
		return nil, err
	}
	return Parse(b, canonicalRules(d.rules, len(b)))
}

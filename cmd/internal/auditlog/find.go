package auditlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/authn/audit"
)

// Found is a record that [Find] has found.
type Found struct {
	audit.Event
	// Line is the record as it stands in the file.
	Line []byte
}

// Find returns the records, oldest first, whose reference, correlation id or token id
// is id, in any case, of the trail that is written to path and of the files that were
// moved aside beside it. The chain is not judged; that is [Verify]'s.
func Find(path, id string) ([]Found, error) {
	files, err := filepath.Glob(globQuote(path) + ".*")
	if err != nil {
		return nil, err
	}
	slices.Sort(files) // named after their first record
	var found []Found
	for _, name := range append(files, path) {
		more, err := findIn(name, id)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

func findIn(name, id string) (found []Found, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLine+1024)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF): // what follows the last line feed is still being written
			return found, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue // no record
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r := Found{Line: bytes.Clone(bytes.TrimSuffix(line, []byte("\n")))}
		if json.Unmarshal(r.Line, &r.Event) != nil {
			continue
		}
		for _, is := range []string{r.Reference, r.CorrelationID, r.TokenID} {
			if is != "" && strings.EqualFold(is, id) {
				found = append(found, r)
				break
			}
		}
	}
}

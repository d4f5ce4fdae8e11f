package partner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// copied is the last good copy of a document, as it lies on disk: one line of JSON,
// then the document as it was fetched. The signature is verified again when it is
// read, so that the file proves nothing by itself.
type copied struct {
	URL     string    `json:"url"`
	Fetched time.Time `json:"fetched"`
	Tag
	SHA256 string `json:"sha256"`
	// Entity and Used are of parties that came by queries: which one it is, and when
	// somebody last got a token for it.
	Entity string    `json:"entity,omitempty"`
	Used   time.Time `json:"used,omitzero"`
	data   []byte
}

// store writes the copy in one step: a crash leaves the old one or the new one.
func (c *copied) store(path string) error {
	head, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return writeFile(path, append(append(head, '\n'), c.data...), 0o600)
}

// writeFile writes a file in one step, so that a reader or a crash finds the
// old content or the new one.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// loadCopy reads a copy, which must be of this address.
func loadCopy(path, url string) (*copied, error) {
	c, err := readCopy(path)
	if err == nil && c.URL != url {
		return nil, fmt.Errorf("%s is a copy from another address", path)
	}
	return c, err
}

// readCopy reads a copy from whatever address.
func readCopy(path string) (*copied, error) {
	data, err := readFile(path, MaxSize+8<<10)
	if err != nil {
		return nil, err
	}
	head, doc, ok := bytes.Cut(data, []byte("\n"))
	c := &copied{}
	if !ok || json.Unmarshal(head, c) != nil {
		return nil, fmt.Errorf("%s is not a copy of metadata", path)
	}
	if c.SHA256 != digest(doc) {
		return nil, fmt.Errorf("%s was changed since it was written", path)
	}
	c.data = doc
	return c, nil
}

// readFile reads a regular file of at most most bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

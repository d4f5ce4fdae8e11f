package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"sallyport/cmd/internal/auditlog"
	"sallyport/cmd/internal/config"
)

func auditCommand() command {
	c := command{name: "audit", synopsis: "audit verify FILE... | find ID --config F", help: "check the audit trail, or find what one reference means"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `verify   checks that no record of the audit files was changed, moved or taken out. Name
         the files of one trail, oldest first; the one that is written now comes
         last. Compare the head with the log's latest "audit chain" line to see that
         the end is there.
find     prints the records of one sign-in: ID is the reference of a person's error
         page, the correlation id that Microsoft's sign-in log shows, or the id of a
         token. It reads audit.file and the files beside it.`)
		keyFile := f.String("key-file", "", "verify: the `file` of audit.chain_key_file")
		path := f.String("config", defaultConfig, "find: the settings `file`")
		asJSON := f.Bool("json", false, "find: print the records as they stand in the file")
		rest, status, done := parse(e, f, args, 2, math.MaxInt)
		if done {
			return status
		}
		var err error
		switch {
		case rest[0] == "verify":
			return verifyAudit(e, rest[1:], *keyFile)
		case rest[0] != "find":
			fmt.Fprintf(e.stderr, "sallyport audit: there is no %q, only verify and find\n", rest[0])
			return exitUsage
		case len(rest) != 2:
			fmt.Fprintln(e.stderr, "sallyport audit: say audit find ID --config F")
			return exitUsage
		}
		cfg, ok := load(e, *path)
		if !ok {
			return exitFailed
		}
		found, err := findRecords(cfg, rest[1])
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no record of %s or the files beside it has the id %q", cfg.Audit.File, rest[1])
		}
		if err != nil {
			fmt.Fprintln(e.stderr, "sallyport audit:", err)
			return exitFailed
		}
		for _, r := range found {
			if *asJSON {
				fmt.Fprintf(e.stdout, "%s\n", r.Line)
			} else {
				printRecord(e.stdout, r)
			}
		}
		return exitGood
	}
	return c
}

func verifyAudit(e env, files []string, keyFile string) int {
	var key []byte
	if keyFile != "" {
		var err error
		if key, err = (config.Secret{File: keyFile}).Key(); err != nil {
			fmt.Fprintln(e.stderr, "sallyport audit:", err)
			return exitFailed
		}
	}
	sum, err := auditlog.Verify(files, key)
	if err != nil {
		fmt.Fprintf(e.stderr, "BROKEN after %d good records: %v\n", sum.Records, err)
		return exitFailed
	}
	fmt.Fprintf(e.stdout, "good: %d records, numbers %d to %d, head %s\n", sum.Records, sum.First, sum.Last, sum.Head)
	return exitGood
}

// findRecords looks into the settings' audit file.
func findRecords(cfg *config.Config, id string) ([]auditlog.Found, error) {
	if cfg.Audit.File == "" {
		return nil, errors.New("audit.file is not set: the trail goes to standard output only, look where that is kept")
	}
	return auditlog.Find(cfg.Audit.File, id)
}

// printRecord shows a record on one line, and why below it.
func printRecord(w io.Writer, r auditlog.Found) {
	line := []string{r.Time.UTC().Format(time.RFC3339), string(r.Code), r.Reason, r.Protocol, r.Party, r.AccountName, r.UPN, r.Typed, r.Client}
	var parts []string
	for _, s := range line {
		if s != "" {
			parts = append(parts, printable(s))
		}
	}
	fmt.Fprintln(w, strings.Join(parts, "  "))
	if r.Detail != "" {
		fmt.Fprintln(w, "  "+printable(r.Detail))
	}
}

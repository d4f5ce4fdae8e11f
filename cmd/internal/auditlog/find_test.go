package auditlog_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/cmd/internal/auditlog"
)

func TestFindLooksIntoEveryFileOfTheTrail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for name, text := range map[string]string{
		path + ".000000000001": `{"code":"SP101","correlation_id":"AB-1","reason":"wrong_password"}` + "\n" + `{"code":"SP101","correlation_id":"AB-12","reason":"disabled"}` + "\n",
		path + ".000000000003": "what somebody wrote here\n" + `{"code":"SP200","token_id":"ab-1","detail":"x"}` + "\n",
		path:                   `{"code":"SP100","ref":"ab-1","detail":"ab-2"}` + "\n" + `{"code":"SP100","ref":"ab-1"`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := auditlog.Find(path, "ab-1")
	if err != nil || len(found) != 3 || found[0].Reason != "wrong_password" || found[1].Code != "SP200" || found[2].Reference != "ab-1" {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := auditlog.Find(path, "ab-2"); err != nil || len(found) != 0 {
		t.Errorf("a detail is no id: %+v, %v", found, err)
	}
	if _, err := auditlog.Find(path+"x", "ab-1"); err == nil {
		t.Error("no file, and no error")
	}
}

package redisstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/seal"
)

// fake is a server that speaks as much of RESP2 as the store needs, strictly: an
// unknown command or option is an error, and so is a command on a key outside
// the prefix. It has a clock that can be moved and rights that can be taken away.
type fake struct {
	t  testing.TB
	ln net.Listener

	mu       sync.Mutex
	data     map[string]*item
	skipped  time.Duration
	denied   map[string]bool // commands
	allowed  map[string]bool // commands that the user ought not to have
	prefix   string
	commands []string // as they came, in transactions too
	conns    map[net.Conn]bool
	flushes  int // replies written in one go, after AUTH
}

func (f *fake) trips() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushes
}

type item struct {
	text   string
	list   []string
	isList bool
	until  time.Time // zero: for ever
}

func startFake(t testing.TB) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t: t, ln: ln, data: map[string]*item{}, denied: map[string]bool{}, allowed: map[string]bool{},
		prefix: redisstore.DefaultPrefix, conns: map[net.Conn]bool{},
	}
	go f.accept(ln)
	t.Cleanup(f.stop)
	return f
}

func (f *fake) addr() string { return f.ln.Addr().String() }

func (f *fake) config() redisstore.Config {
	return redisstore.Config{
		Addresses: []string{f.addr()}, Username: "gateway", Password: func() (string, error) { return gatewayPassword, nil },
		Masters: [][]byte{seal.NewMaster()}, ProbeEvery: 200 * time.Millisecond, Timeout: patience,
	}
}

func (f *fake) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = true
		f.mu.Unlock()
		go f.serve(c)
	}
}

func (f *fake) stop() {
	_ = f.ln.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *fake) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped += d
}

func (f *fake) deny(command string, denied bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[command] = denied
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	in, broken, signedIn := [][]string(nil), false, false
	inMulti := false
	for {
		cmd, err := readCommand(r)
		if err != nil {
			return
		}
		name := strings.ToUpper(cmd[0])
		switch {
		case name == "HELLO":
			reply(w, errors.New("ERR unknown command 'HELLO'"))
		case name == "AUTH":
			signedIn = len(cmd) == 3 && cmd[1] == "gateway" && cmd[2] == gatewayPassword
			reply(w, map[bool]any{true: "+OK", false: errors.New("WRONGPASS invalid username-password pair or user is disabled.")}[signedIn])
		case !signedIn:
			reply(w, errors.New("NOAUTH Authentication required."))
		case f.permit(name, cmd) != nil:
			broken = broken || inMulti
			reply(w, f.permit(name, cmd))
		case name == "MULTI":
			inMulti, in, broken = true, nil, false
			reply(w, "+OK")
		case name == "EXEC" && broken:
			inMulti = false
			reply(w, errors.New("EXECABORT Transaction discarded because of previous errors."))
		case name == "EXEC":
			inMulti = false
			reply(w, f.run(in))
		case inMulti:
			in = append(in, cmd)
			reply(w, "+QUEUED")
		default:
			reply(w, f.run([][]string{cmd})[0])
		}
		if r.Buffered() > 0 {
			continue
		}
		if name != "HELLO" && name != "AUTH" {
			f.mu.Lock()
			f.flushes++
			f.mu.Unlock()
		}
		if w.Flush() != nil {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	number := func(kind byte) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil || len(line) < 4 || line[0] != kind {
			return 0, errors.Join(err, io.ErrUnexpectedEOF)
		}
		return strconv.Atoi(line[1 : len(line)-2])
	}
	n, err := number('*')
	if err != nil || n < 1 || n > 100 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	cmd := make([]string, n)
	for i := range cmd {
		size, err := number('$')
		if err != nil || size > 1<<20 {
			return nil, errors.Join(err, io.ErrUnexpectedEOF)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		cmd[i] = string(b[:size])
	}
	return cmd, nil
}

// reply writes a simple string (with its +), an error, a bulk string, an int, an
// array, or nil.
func reply(w *bufio.Writer, v any) {
	switch v := v.(type) {
	case nil:
		fmt.Fprint(w, "$-1\r\n")
	case error:
		fmt.Fprintf(w, "-%s\r\n", v)
	case int:
		fmt.Fprintf(w, ":%d\r\n", v)
	case string:
		if strings.HasPrefix(v, "+") {
			fmt.Fprintf(w, "%s\r\n", v)
			return
		}
		v = strings.TrimPrefix(v, "$")
		fmt.Fprintf(w, "$%d\r\n%s\r\n", len(v), v)
	case []any:
		fmt.Fprintf(w, "*%d\r\n", len(v))
		for _, e := range v {
			reply(w, e)
		}
	}
}

// permit returns why the user may not run the command.
func (f *fake) permit(name string, cmd []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, name)
	known := strings.Contains(strings.ToUpper(redisstore.Commands)+" ", "+"+name+" ")
	if f.denied[name] || (!known && !f.allowed[name]) {
		return fmt.Errorf("NOPERM User gateway has no permissions to run the '%s' command", strings.ToLower(name))
	}
	if known && len(cmd) > 1 && !strings.HasPrefix(cmd[1], f.prefix) {
		return errors.New("NOPERM No permissions to access a key")
	}
	return nil
}

// run carries out commands without a gap.
func (f *fake) run(cmds [][]string) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]any, len(cmds))
	for i, cmd := range cmds {
		all[i] = f.one(strings.ToUpper(cmd[0]), cmd[1:])
	}
	return all
}

func (f *fake) now() time.Time { return time.Now().Add(f.skipped) }

func (f *fake) find(key string) *item {
	it := f.data[key]
	if it != nil && !it.until.IsZero() && !f.now().Before(it.until) {
		delete(f.data, key)
		return nil
	}
	return it
}

var errType = errors.New("WRONGTYPE Operation against a key holding the wrong kind of value")

func (f *fake) one(name string, a []string) any {
	switch name {
	case "PING":
		return "+PONG"
	case "FLUSHALL", "FLUSHDB", "CONFIG", "KEYS":
		return errors.New("ERR syntax error")
	}
	it := f.find(a[0])
	switch name {
	case "SET":
		return f.set(a[0], it, a[1], a[2:])
	case "GET", "GETEX":
		if it == nil {
			return nil
		}
		if it.isList {
			return errType
		}
		if name == "GETEX" {
			it.until = f.now().Add(life(a[1], a[2]))
		}
		return "$" + it.text
	case "DEL":
		delete(f.data, a[0])
		return 1
	case "PEXPIRE":
		if it == nil {
			return 0
		}
		it.until = f.now().Add(life("PX", a[1]))
		return 1
	}
	return f.lists(name, it, a)
}

func (f *fake) lists(name string, it *item, a []string) any {
	if it != nil && !it.isList {
		return errType
	}
	if it == nil {
		switch name {
		case "RPUSH":
			it = &item{isList: true}
			f.data[a[0]] = it
		case "LRANGE":
			return []any{}
		default:
			return 0
		}
	}
	switch name {
	case "RPUSH":
		it.list = append(it.list, a[1:]...)
	case "LPUSHX":
		it.list = slices.Insert(it.list, 0, a[1])
	case "LREM":
		it.list = slices.DeleteFunc(it.list, func(e string) bool { return e == a[2] })
	case "LTRIM":
		it.list = span(it.list, a[1], a[2])
	case "LRANGE":
		var all []any
		for _, e := range span(it.list, a[1], a[2]) {
			all = append(all, "$"+e)
		}
		return all
	default:
		return fmt.Errorf("ERR unknown command '%s'", name)
	}
	return len(it.list)
}

// span is the part of a list between two indexes, the last one included; negative
// ones count from the end.
func span(list []string, first, last string) []string {
	at := func(index string) int {
		n, _ := strconv.Atoi(index)
		if n < 0 {
			n += len(list)
		}
		return n
	}
	from, to := max(at(first), 0), min(at(last)+1, len(list))
	if from >= to {
		return nil
	}
	return slices.Clone(list[from:to])
}

func life(unit, n string) time.Duration {
	v, _ := strconv.Atoi(n)
	if strings.EqualFold(unit, "EX") {
		return time.Duration(v) * time.Second
	}
	return time.Duration(v) * time.Millisecond
}

func (f *fake) set(key string, old *item, value string, options []string) any {
	next := &item{text: value}
	var result any = "+OK"
	for i := 0; i < len(options); i++ {
		switch o := strings.ToUpper(options[i]); o {
		case "EX", "PX":
			next.until = f.now().Add(life(o, options[i+1]))
			i++
		case "NX":
			if old != nil {
				return nil
			}
		case "XX":
			if old == nil {
				return nil
			}
		case "KEEPTTL":
			if old != nil {
				next.until = old.until
			}
		case "GET":
			switch {
			case old == nil:
				result = nil
			case old.isList:
				return errType
			default:
				result = "$" + old.text
			}
		default:
			return errors.New("ERR syntax error")
		}
	}
	f.data[key] = next
	return result
}

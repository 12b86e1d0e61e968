package dbtest

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// server is the PostgreSQL server of this test program, started by the first test that
// wants one and stopped by Main.
var server struct {
	once    sync.Once
	err     error
	folder  string
	url     string // without the database's name
	command *exec.Cmd
	exited  chan error
	count   atomic.Int64
}

// Main runs the tests of a package and stops the server they may have started, and
// whatever else there is to clean up. A package whose tests use PostgreSQL calls it from
// TestMain.
func Main(m *testing.M, clean ...func() error) {
	code := m.Run()
	for _, clean := range append(clean, stop) {
		if err := clean(); err != nil {
			fmt.Fprintln(os.Stderr, "clean up after the tests:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// NewPostgreSQL makes an empty database on a real server and returns its URL.
func NewPostgreSQL(t testing.TB) string {
	t.Helper()
	server.once.Do(func() { server.err = start() })
	if errors.Is(server.err, errNotInstalled) && os.Getenv("POSTERN_TEST_ALL") == "" {
		t.Skip("PostgreSQL is not installed, so this was tried on SQLite alone")
	}
	if server.err != nil {
		t.Fatalf("start PostgreSQL: %v", server.err)
	}
	name := fmt.Sprintf("test%d", server.count.Add(1))
	admin, err := sql.Open("pgx", server.url+"postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	return server.url + name
}

var errNotInstalled = errors.New("initdb was not found: install Debian's package postgresql")

// programs finds the folder with initdb and postgres.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNotInstalled
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func start() error {
	bin, err := programs()
	if err != nil {
		return err
	}
	if server.folder, err = os.MkdirTemp("", "postern-postgresql-"); err != nil {
		return err
	}
	process, err := unprivileged()
	if err != nil {
		return err
	}
	data := filepath.Join(server.folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username=postern", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr = process
	initdb.Dir = server.folder
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	server.url = fmt.Sprintf("postgres://postern@127.0.0.1:%d/", port)
	return run(exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
		"-c", "max_connections=300"), process)
}

// unprivileged lets root start the server as somebody else, which it insists on, and
// lets the server die with the tests.
func unprivileged() (*syscall.SysProcAttr, error) {
	process := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return process, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(postgres.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(postgres.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	process.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return process, os.Chown(server.folder, int(uid), int(gid))
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// run starts the server and waits until it answers.
func run(command *exec.Cmd, process *syscall.SysProcAttr) error {
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	command.SysProcAttr = process
	command.Dir = server.folder
	server.command, server.exited = command, make(chan error, 1)
	started := make(chan error)
	go func() {
		// The signal at the parent's death is tied to the thread that started the child.
		runtime.LockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		server.exited <- command.Wait()
	}()
	if err := <-started; err != nil {
		return err
	}
	db, err := sql.Open("pgx", server.url+"postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-server.exited:
			server.command = nil
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(log.String()))
		default:
		}
		if err = db.Ping(); err == nil {
			return nil
		}
	}
	return err
}

// stop ends the server this program started, if any, and removes its folder.
func stop() error {
	if server.command != nil {
		// SIGINT is PostgreSQL's fast shutdown.
		if err := server.command.Process.Signal(syscall.SIGINT); err != nil {
			return err
		}
		if err := <-server.exited; err != nil {
			return err
		}
	}
	if server.folder == "" {
		return nil
	}
	return os.RemoveAll(server.folder)
}

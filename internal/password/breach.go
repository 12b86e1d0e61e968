package password

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the published sets of breached passwords are SHA-1 sets
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"
)

// Breaches knows the passwords that were found in breaches.
type Breaches struct {
	// File holds sorted lines that begin with an SHA-1 hash in hexadecimal capitals.
	File string
	// RangeURL answers the first five digits of a hash with the rest of all hashes that
	// begin so. Empty means the public service.
	RangeURL string
	Log      *slog.Logger
}

const (
	publicRangeURL = "https://api.pwnedpasswords.com/range/"
	onlineTimeout  = 2 * time.Second
	maxAnswer      = 1 << 20
	hashDigits     = 2 * sha1.Size
	prefixDigits   = 5
)

// Contain says whether a password is in the set. When the set cannot be asked the answer
// is no, with a warning in the log: a service that is down must lock nobody out.
func (b Breaches) Contain(ctx context.Context, mode BreachMode, password string) bool {
	sum := sha1.Sum([]byte(password)) //nolint:gosec
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	ask := b.inFile
	if mode == BreachOnline {
		ask = b.online
	}
	found, err := ask(ctx, hash)
	if err != nil {
		b.Log.WarnContext(ctx, "breached passwords could not be checked", "mode", string(mode), "error", err)
	}
	return found && err == nil
}

// online asks for everything that shares the first five digits, so that the service does
// not learn the hash.
func (b Breaches) online(ctx context.Context, hash string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	base := b.RangeURL
	if base == "" {
		base = publicRangeURL
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+hash[:prefixDigits], nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("Add-Padding", "true") // so that the length of the answer tells nothing
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the service answered %s", response.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(response.Body, maxAnswer))
	for lines.Scan() {
		rest, count, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if strings.EqualFold(rest, hash[prefixDigits:]) {
			return count != "0", nil // padding has the count 0
		}
	}
	return false, lines.Err()
}

// inFile bisects the sorted file.
func (b Breaches) inFile(_ context.Context, hash string) (bool, error) {
	if b.File == "" {
		return false, errors.New("no file of breached passwords is configured")
	}
	file, err := os.Open(b.File)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	// The smallest offset whose next line is not before the one sought.
	var failed error
	found := sort.Search(int(info.Size()), func(offset int) bool {
		line, err := lineFrom(file, int64(offset))
		failed = errors.Join(failed, err)
		return err != nil || line == "" || line >= hash
	})
	line, err := lineFrom(file, int64(found))
	return line == hash, errors.Join(failed, err)
}

// lineFrom returns the hash on the first line that begins at or after the offset; empty at
// the end of the file.
func lineFrom(file *os.File, offset int64) (hash string, err error) {
	buffer := make([]byte, 256)
	from := max(0, offset-1)
	n, err := file.ReadAt(buffer, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line := buffer[:n]
	if offset > 0 { // a line begins after the line break before it
		_, line, _ = bytes.Cut(line, []byte("\n"))
	}
	if len(line) < hashDigits {
		return "", nil
	}
	return strings.ToUpper(string(line[:hashDigits])), nil
}

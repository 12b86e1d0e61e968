package portaltest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress finds an address that nothing listens on, below the ports that outgoing
// connections take, so that it is still free after a restart.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}

package db_test

import (
	"fmt"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

func eachBench(b *testing.B, bench func(b *testing.B, d *db.DB)) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		b.Run(string(engine), func(b *testing.B) { bench(b, dbtest.Open(b, engine, nil)) })
	}
}

// What every request of somebody signed in asks.
func BenchmarkSessionByToken(b *testing.B) {
	const sessions = 1000
	eachBench(b, func(b *testing.B, d *db.DB) {
		ann := newUser(b, d, "ann@acme.example")
		tokens := make([][]byte, sessions)
		update(b, d, func(tx *db.Tx) error {
			for i := range tokens {
				tokens[i] = hash(fmt.Sprint(i))
				if _, err := tx.AddSession(b.Context(), db.Session{UserID: ann.ID, Epoch: 1, Data: []byte("{}")}, tokens[i]); err != nil {
					return err
				}
			}
			return nil
		})
		i := 0
		for b.Loop() {
			if _, _, err := d.Reader().SessionByToken(b.Context(), tokens[i%sessions]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

// What every attempt to sign in or to recover costs before anything else, its transaction
// included.
func BenchmarkClaimRate(b *testing.B) {
	eachBench(b, func(b *testing.B, d *db.DB) {
		keys := make([][]byte, 100)
		for i := range keys {
			keys[i] = hash(fmt.Sprint(i))
		}
		i := 0
		for b.Loop() {
			err := d.Update(b.Context(), func(tx *db.Tx) error {
				return second(tx.ClaimRate(b.Context(), keys[i%len(keys)], time.Second, 10))
			})
			if err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

package db

import (
	"context"
	"crypto/rand"
)

// FactSettingsVersion changes whenever a setting does.
const FactSettingsVersion = "settings_version"

// Settings returns the settings that differ from their default.
func (r Reader) Settings(ctx context.Context) (map[string]string, error) {
	type pair struct{ key, value string }
	rows, err := r.q.QueryContext(ctx, `SELECT key, value FROM setting`)
	pairs, err := collect(rows, err, func(row rowScanner) (p pair, err error) { return p, row.Scan(&p.key, &p.value) })
	settings := make(map[string]string, len(pairs))
	for _, p := range pairs {
		settings[p.key] = p.value
	}
	return settings, err
}

// SetSetting stores a setting. The caller announces all it has set with SettingsChanged.
func (tx *Tx) SetSetting(ctx context.Context, key, value string) error {
	_, err := tx.exec(ctx, `INSERT INTO setting (key, value) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	return err
}

// SettingsChanged lets every other process know that it must read the settings again.
func (tx *Tx) SettingsChanged(ctx context.Context) error {
	return tx.SetFact(ctx, FactSettingsVersion, rand.Text())
}

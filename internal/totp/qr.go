package totp

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// QRCode is a QR code as the path of an SVG: one unit a module, with the four modules of
// quiet zone that readers need around it.
type QRCode struct {
	Size int    // units of width and height
	Path string // the dark modules
}

const quietZone = 4

// NewQRCode draws a text.
func NewQRCode(text string) (QRCode, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return QRCode{}, fmt.Errorf("draw the QR code: %w", err)
	}
	var path strings.Builder
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x >= size {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	for y := range size {
		for x := 0; x < size; x++ {
			if !dark(x, y) {
				continue
			}
			run := 1 // modules beside each other are one rectangle
			for dark(x+run, y) {
				run++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
			x += run
		}
	}
	return QRCode{Size: size + 2*quietZone, Path: path.String()}, nil
}

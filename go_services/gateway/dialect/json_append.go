package dialect

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// These append JSON to a buffer that is used again: a frame of a room is transcoded once for all its JSON sockets,
// many times a second.

func appendKey(b []byte, key string) []byte {
	if last := b[len(b)-1]; last != '{' && last != '[' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), key...)
	return append(b, '"', ':')
}

func appendUint(b []byte, key string, v uint64) []byte {
	return strconv.AppendUint(appendKey(b, key), v, 10)
}

func appendInt(b []byte, key string, v int64) []byte {
	return strconv.AppendInt(appendKey(b, key), v, 10)
}

func appendBool(b []byte, key string, v bool) []byte {
	return strconv.AppendBool(appendKey(b, key), v)
}

// appendFloat writes the shortest number that reads back as the same 32-bit float.
func appendFloat(b []byte, key string, v float32) []byte {
	return strconv.AppendFloat(appendKey(b, key), float64(v), 'g', -1, 32)
}

func appendText(b []byte, key string, text []byte) []byte {
	return appendString(appendKey(b, key), text)
}

func appendBase64(b []byte, key string, data []byte) []byte {
	b = append(appendKey(b, key), '"')
	return append(base64.StdEncoding.AppendEncode(b, data), '"')
}

const hexDigits = "0123456789abcdef"

// appendString quotes a text. What is not UTF-8 becomes the replacement character.
func appendString(b, text []byte) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, text[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = appendEscaped(append(b, text[start:i]...), c)
			start = i + 1
		}
		i++
	}
	return append(append(b, text[start:]...), '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

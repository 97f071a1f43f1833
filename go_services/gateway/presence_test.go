package gateway

import (
	"maps"
	"testing"
)

func TestPresenceKnowsWhoIsWhere(t *testing.T) {
	l := newLab(t, nil)
	is := func(want map[string]string) {
		t.Helper()
		l.until("presence knows", func() bool { return maps.Equal(l.presence.where(), want) })
	}
	ann, bob := l.enter("usr_ann", ""), l.enter("usr_bob", "plaza")
	is(map[string]string{"usr_ann": "web@", "usr_bob": "web@plaza"})
	ann.say(`{"rid":2,"join":{"room_id":"garden"}}`)
	is(map[string]string{"usr_ann": "web@garden", "usr_bob": "web@plaza"})
	bob.say(`{"rid":3,"leave":{}}`)
	is(map[string]string{"usr_ann": "web@garden", "usr_bob": "web@"})
	_ = bob.conn.Close()
	is(map[string]string{"usr_ann": "web@garden"})
}

func TestSocketsDoNotNoticeThatPresenceIsDownAndItLearnsWhatIsTrueThen(t *testing.T) {
	l := newLab(t, nil)
	l.presence.down.Store(true)
	ann, bob := l.enter("usr_ann", "plaza"), l.enter("usr_bob", "plaza")
	ann.say(`{"rid":3,"chat":{"text":"hi"}}`)
	bob.hears("chat_message")
	_ = bob.conn.Close()
	l.presence.down.Store(false)
	want := map[string]string{"usr_ann": "web@plaza"}
	l.until("presence is told when it is back", func() bool { return maps.Equal(l.presence.where(), want) })

	l.presence.cut() // it restarts and has forgotten everything
	l.until("presence is told again", func() bool { return maps.Equal(l.presence.where(), want) })
}

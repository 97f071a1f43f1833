package roomsim
import ("testing";"fmt")
func TestTmp(t *testing.T){
 w:=New(walk(Faults{Crashes:1}, Near, Near, Far))
 w.Settle(1000)
 fmt.Println(w.Trace())
 for _,c:=range w.clients { fmt.Println(c.device.view, c.device.newest, c.device.putBack, c.device.base) }
}

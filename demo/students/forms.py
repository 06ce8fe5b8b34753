from django import forms

from .models import Student


class StudentForm(forms.ModelForm):
    class Meta:
        model = Student
        fields = ["registration_number", "first_name", "last_name", "programme", "year"]
        widgets = {
            "registration_number": forms.TextInput(attrs={"autocapitalize": "characters"}),
            "programme": forms.TextInput(attrs={"list": "programmes"}),
            "year": forms.NumberInput(attrs={"min": 1, "max": 7}),
        }

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.update({"class": "form-control", "autocomplete": "off"})
            field.error_messages["required"] = f"Please fill in the {field.label.lower()}."

    def clean_registration_number(self) -> str:
        return self.cleaned_data["registration_number"].upper()

"""A school: 28 models after twenty migrations, and one more with the new one, 0021."""

from django.db import models
from django.db.models import Q


class Campus(models.Model):
    name = models.CharField(max_length=100, unique=True)
    address = models.TextField(blank=True)


class Building(models.Model):
    campus = models.ForeignKey(Campus, models.CASCADE)
    name = models.CharField(max_length=100)
    floors = models.PositiveSmallIntegerField(default=1)


class Room(models.Model):
    building = models.ForeignKey(Building, models.CASCADE)
    number = models.CharField(max_length=10)
    seats = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["building", "number"], name="room_once")]


class Department(models.Model):
    name = models.CharField(max_length=100, unique=True)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="parts")


class Subject(models.Model):
    department = models.ForeignKey(Department, models.PROTECT)
    name = models.CharField(max_length=100, db_index=True)
    code = models.SlugField(max_length=20, unique=True)


class Term(models.Model):
    name = models.CharField(max_length=40)
    starts = models.DateField()
    ends = models.DateField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends__gt=models.F("starts")), name="term_order")
        ]


class Teacher(models.Model):
    user = models.OneToOneField("auth.User", models.SET_NULL, null=True)
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60)
    email = models.EmailField(unique=True)
    hired = models.DateField(null=True)
    subjects = models.ManyToManyField(Subject)


class Guardian(models.Model):
    name = models.CharField(max_length=120)
    phone = models.CharField(max_length=30, blank=True)
    email = models.EmailField(blank=True)


class Student(models.Model):
    number = models.CharField(max_length=20, unique=True)
    first_name = models.CharField(max_length=60)
    family_name = models.CharField(max_length=60, db_index=True)
    email = models.EmailField(blank=True, default="")
    born = models.DateField(null=True)
    guardians = models.ManyToManyField(Guardian)
    bus_line = models.CharField(max_length=10, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["family_name", "first_name"], name="student_names"),
            models.Index(fields=["bus_line"], name="student_bus_line"),
        ]


class SchoolClass(models.Model):
    name = models.CharField(max_length=40)
    term = models.ForeignKey(Term, models.PROTECT)
    tutor = models.ForeignKey(Teacher, models.SET_NULL, null=True)

    class Meta:
        unique_together = [("name", "term")]


class Course(models.Model):
    subject = models.ForeignKey(Subject, models.PROTECT)
    teacher = models.ForeignKey(Teacher, models.SET_NULL, null=True)
    school_class = models.ForeignKey(SchoolClass, models.CASCADE)
    hours = models.DecimalField(max_digits=5, decimal_places=2, default=2)


class Lesson(models.Model):
    course = models.ForeignKey(Course, models.CASCADE)
    room = models.ForeignKey(Room, models.SET_NULL, null=True)
    begins = models.DateTimeField()
    topic = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["room", "begins"], name="lesson_room_begins")]


class Enrolment(models.Model):
    student = models.ForeignKey(Student, models.CASCADE)
    school_class = models.ForeignKey(SchoolClass, models.CASCADE)
    since = models.DateField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["student", "school_class"], name="enrolled_once")
        ]


class Attendance(models.Model):
    student = models.ForeignKey(Student, models.CASCADE)
    lesson = models.ForeignKey(Lesson, models.CASCADE)
    present = models.BooleanField(default=True)
    remark = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["student", "lesson"], name="attendance_once")
        ]
        indexes = [
            models.Index(fields=["lesson"], condition=Q(present=False), name="attendance_missing")
        ]


class Assignment(models.Model):
    course = models.ForeignKey(Course, models.CASCADE)
    title = models.CharField(max_length=200)
    due = models.DateTimeField(db_index=True)
    points = models.PositiveSmallIntegerField(default=10)


class Submission(models.Model):
    assignment = models.ForeignKey(Assignment, models.CASCADE)
    student = models.ForeignKey(Student, models.CASCADE)
    text = models.TextField()
    handed_in = models.DateTimeField(auto_now_add=True)


class GradeScale(models.Model):
    name = models.CharField(max_length=40, unique=True)
    passing = models.PositiveSmallIntegerField(default=50)


class Grade(models.Model):
    scale = models.ForeignKey(GradeScale, models.CASCADE)
    mark = models.CharField(max_length=5)
    at_least = models.PositiveSmallIntegerField()

    class Meta:
        unique_together = [("scale", "mark")]


class Exam(models.Model):
    course = models.ForeignKey(Course, models.CASCADE)
    scale = models.ForeignKey(GradeScale, models.PROTECT)
    held = models.DateField()


class ExamResult(models.Model):
    exam = models.ForeignKey(Exam, models.CASCADE)
    student = models.ForeignKey(Student, models.CASCADE)
    points = models.DecimalField(max_digits=6, decimal_places=2)
    grade = models.ForeignKey(Grade, models.SET_NULL, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exam", "student"], name="result_once"),
            models.CheckConstraint(condition=Q(points__gte=0), name="result_not_negative"),
        ]


class Book(models.Model):
    isbn = models.CharField(max_length=13, unique=True)
    title = models.CharField(max_length=300)
    author = models.CharField(max_length=200, blank=True)
    subjects = models.ManyToManyField(Subject)


class Volume(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    shelf = models.CharField(max_length=20, blank=True)
    bought = models.DateField(null=True)


class Loan(models.Model):
    volume = models.ForeignKey(Volume, models.PROTECT)
    student = models.ForeignKey(Student, models.PROTECT)
    lent = models.DateField()
    returned = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["volume"], condition=Q(returned=None), name="volume_lent_once"
            )
        ]


class Fee(models.Model):
    name = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    term = models.ForeignKey(Term, models.PROTECT)


class Invoice(models.Model):
    student = models.ForeignKey(Student, models.PROTECT)
    fees = models.ManyToManyField(Fee)
    number = models.BigIntegerField(unique=True)
    issued = models.DateField()
    due = models.DateField()

    class Meta:
        indexes = [models.Index(fields=["student", "-issued"], name="invoice_newest")]


class Payment(models.Model):
    invoice = models.ForeignKey(Invoice, models.PROTECT)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    paid = models.DateTimeField()
    details = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
        ]


class Notice(models.Model):
    title = models.CharField(max_length=200)
    body = models.TextField()
    classes = models.ManyToManyField(SchoolClass)
    published = models.DateTimeField(null=True, db_index=True)


class Activity(models.Model):
    name = models.CharField(max_length=100)
    leader = models.ForeignKey(Teacher, models.SET_NULL, null=True)
    students = models.ManyToManyField(Student)
    weekday = models.PositiveSmallIntegerField(default=1)


class Locker(models.Model):
    room = models.ForeignKey(Room, models.CASCADE)
    student = models.OneToOneField(Student, models.SET_NULL, null=True)
    number = models.CharField(max_length=10, db_index=True)
